/** How the rooms that work on streams talk to a primary: through the pace, telling what their commands cost. */
import type { Command, Reply } from './connection.ts'

/**
 * Sends commands and waits for all replies, in order. `costs` says how much of Redis's time they take, in units of the most
 * that Redis is given at once (see `LEAST_COST` in `entries/bites.ts`). One number is the cost of all commands, which then
 * stay together; without it each counts as the least. A number for each command lets them go in several batches.
 * @throws Fault when the connection fails
 */
export type Ask = (commands: readonly Command[], costs?: number | readonly number[]) => Promise<Reply[]>

/** Finds the streams of one primary: one SCAN, however many policies there are. */

import { LEAST_COST } from '../entries/bites.ts'
import type { Ask } from '../redis/ask.ts'
import type { Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { faultOf } from '../redis/refused.ts'

/** A key costs SCAN a third of what a command costs by itself. */
const COST_OF_KEY = LEAST_COST / 3

/**
 * The keys of streams that match, in pages; a page may be empty. Requests the next page while the caller works on this one.
 * Redis may return a key twice while it resizes its table; trimming it again is harmless.
 * @throws Fault when SCAN is refused or the connection is lost
 */
export async function* pagesOfKeys(ask: Ask, match: string, count: number): AsyncGenerator<readonly Buffer[]> {
  const scan = (cursor: string): Promise<Reply[]> =>
    ask([['SCAN', cursor, 'MATCH', match, 'COUNT', String(count), 'TYPE', 'stream']], count * COST_OF_KEY)
  let cursor = '0'
  let next = scan(cursor)
  do {
    const [reply] = await next
    if (reply instanceof Refusal) throw faultOf(reply, 'SCAN', 'every sweep')
    const [position, keys] = reply as [Buffer, Buffer[]]
    cursor = position.toString()
    if (cursor !== '0') {
      next = scan(cursor)
      // It may fail before anybody waits for it, or nobody may wait at all; the caller's own commands then fail as well.
      next.catch(() => {})
    }
    yield keys
  } while (cursor !== '0')
}

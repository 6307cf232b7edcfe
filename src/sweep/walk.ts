/** Walks over every matching stream of every primary, page by page, at the pace that was asked for. */

import { setMaxListeners } from 'node:events'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Connection, Reach } from '../redis/connection.ts'
import { gapIn, type Primaries, withConnection } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { addMemory, type Memory, NO_MEMORY, readServer, readSize } from '../redis/server_state.ts'
import { type OwnSlots, readOwnSlots } from '../redis/slots.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import type { AheadStreams } from './ahead.ts'
import { pagesOfKeys } from './keys.ts'
import type { Batching } from './look_many.ts'
import { type Pace, paced } from './pace.ts'
import type { Missing } from './refused.ts'
import type { Ask } from './stream.ts'

export interface WalkTask {
  /** Finds the primaries as they are now. May throw a Fault. */
  readonly findPrimaries: (stop: AbortSignal) => Promise<Primaries>
  readonly reach: Reach
  readonly policies: readonly Policy[]
  /** Streams in hand at a time. */
  readonly pageSize: number
  /** The pace of a primary, kept together with whoever else works on it. */
  readonly paceOf: (address: Address) => Pace
  /** The primaries to walk over; all unless told. A walk that leaves some out is never whole. */
  readonly only?: (address: Address) => boolean
  /** Milliseconds after which it stops by itself; Infinity for never. */
  readonly sweepTimeoutMs: number
  readonly extent?: Extent
  /** Told whenever Redis has answered a batch: as long as it does, the walk gets on. */
  readonly onAnswer?: () => void
  /** Remembered from walk to walk. */
  readonly ahead: AheadStreams
}

/** Told how far a walk is, for those who watch it: what Redis says it holds, and how much of that was gone through. */
export interface Extent {
  expect(keys: number): void
  visit(keys: number): void
}

/** What a page is worked on with. */
export interface Page {
  readonly keys: readonly Buffer[]
  /** Waits for its turn: the pace is kept with every batch. */
  readonly ask: Ask
  /** The primary's own clock when the walk over it began. */
  readonly nowMs: number
  readonly stop: AbortSignal
  /** Where many streams may be looked at in one command: shared by the pages of one primary. */
  readonly batching?: Batching
}

/** How far a walk got. */
export interface Walk {
  readonly durationMs: number
  readonly primaries: number
  /** One for each primary that could not be walked to its end, or one for all if they could not be found. */
  readonly faults: readonly Fault[]
  /** What ended it early: a stop that was asked for, the lease lost, memory pressure, or its own timeout. */
  readonly stopped: 'stop' | typeof LEASE_LOST | typeof PRESSURE | 'sweep-timeout' | null
  /** Of the primaries that answered; null where none did. */
  readonly memory: Memory | null
  /** Whether every primary was seen to its end. */
  readonly whole: boolean
}

/** The reason a stop carries when it is for want of the lease, or for a sweep under memory pressure. */
export const LEASE_LOST = 'lease-lost'
export const PRESSURE = 'pressure'

/** Pages in flight: while Redis answers one, another is on its way and a third is being counted. */
const PAGES_IN_FLIGHT = 4

/**
 * Gives every page to `work`, several at a time. When `stop` fires no new page is started. Never throws what Redis did;
 * `missing` is told of a command that an ACL refused where the walk could go on without it.
 */
export async function walk(
  task: WalkTask,
  stop: AbortSignal,
  work: (page: Page) => Promise<void>,
  missing: Missing,
): Promise<Walk> {
  const start = performance.now()
  task.ahead.begin()
  const timeout = new AbortController()
  const timer = Number.isFinite(task.sweepTimeoutMs)
    ? setTimeout(() => timeout.abort(), task.sweepTimeoutMs)
    : undefined
  const ending = AbortSignal.any([stop, timeout.signal])
  // Each primary listens to it several times, and a cluster may have many.
  setMaxListeners(0, ending)
  const faults: Fault[] = []
  const memories: Memory[] = []
  let primaries = 0
  let leftOut = 0
  await catchFault(faults, async () => {
    // A stop may have come while the lease was asked for: a frozen Redis is not waited for twice.
    if (ending.aborted) return
    const found = await task.findPrimaries(ending)
    const { addresses: all, layout, haveSlots } = found
    const addresses = all.filter(task.only ?? (() => true))
    leftOut = all.length - addresses.length
    // Slots that nobody serves are as good as a primary that is down.
    const gap = gapIn(found)
    if (gap !== null) faults.push(gap)
    primaries = addresses.length + faults.length
    await Promise.all(
      addresses.map((address) =>
        catchFault(faults, async () => {
          await withConnection(address, task.reach, ending, async (connection) => {
            const before = haveSlots ? await readOwnSlots(connection) : null
            await walkPrimary(connection, haveSlots, task, ending, work, memories, missing)
            if (before !== null && !ending.aborted) assertUnmoved(before, await readOwnSlots(connection), address)
          })
        }),
      ),
    )
    if (!ending.aborted && (await task.findPrimaries(ending)).layout !== layout) {
      throw new Fault(
        'MOVED',
        'slots or primaries changed during the sweep: what moved meanwhile may not have been seen',
      )
    }
  })
  clearTimeout(timer)
  const stopped = stop.aborted
    ? stop.reason === LEASE_LOST || stop.reason === PRESSURE
      ? stop.reason
      : 'stop'
    : timeout.signal.aborted
      ? 'sweep-timeout'
      : null
  return {
    durationMs: performance.now() - start,
    primaries,
    faults,
    stopped,
    memory: memories.length === 0 ? null : memories.reduce(addMemory),
    whole: faults.length === 0 && stopped === null && leftOut === 0,
  }
}

/** What is on its way, or has come or gone meanwhile, was perhaps on neither side when we were there. @throws Fault */
function assertUnmoved(before: OwnSlots, after: OwnSlots, address: Address): void {
  if (before.areOpen || after.areOpen || before.served !== after.served)
    throw new Fault(
      'MOVED',
      `${formatAddress(address)}: slots are being moved, and not every stream may have been seen`,
    )
}

/** One primary's fault costs its own streams, never the others. */
async function catchFault(faults: Fault[], work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    faults.push(error)
  }
}

/** Walks over one primary. Its connection is made for this walk: it takes new addresses, passwords and certificates with it. */
async function walkPrimary(
  connection: Connection,
  haveSlots: boolean,
  task: WalkTask,
  stop: AbortSignal,
  work: (page: Page) => Promise<void>,
  memories: Memory[],
  missing: Missing,
): Promise<void> {
  const { nowMs, memory } = await readServer(connection.ask)
  if (memory === null) missing('INFO', 'xtrimd_redis_memory_used_bytes')
  memories.push(memory ?? NO_MEMORY)
  const pace = task.paceOf(connection.address)
  const askPaced = paced(connection, pace, stop)
  const ask: Ask = async (commands, shares) => {
    const replies = await askPaced(commands, shares)
    task.onAnswer?.()
    return replies
  }
  // A command over several slots is refused in a cluster.
  const isAllowed = !haveSlots && !task.ahead.areTooMany
  const batching = { isAllowed, mostAtOnce: pace.mostAtOnce, ahead: task.ahead }
  if (task.extent) task.extent.expect(await readSize(ask))
  await walkPages(task, stop, ask, (keys) => work({ keys, ask, nowMs, stop, batching }))
}

async function walkPages(
  task: WalkTask,
  stop: AbortSignal,
  ask: Ask,
  work: (keys: readonly Buffer[]) => Promise<void>,
): Promise<void> {
  const inFlight = new Set<Promise<void>>()
  let failed: unknown
  const keysPerPage = Math.max(1, Math.ceil(task.pageSize / PAGES_IN_FLIGHT))
  try {
    for await (const keys of pagesOfKeys(ask, scanPattern(task.policies), keysPerPage)) {
      if (stop.aborted || failed !== undefined) break
      // SCAN goes through so many keys, whether they match or not.
      task.extent?.visit(keysPerPage)
      const page = work(keys)
        .catch((error: unknown) => {
          failed ??= error
        })
        .finally(() => inFlight.delete(page))
      inFlight.add(page)
      if (inFlight.size >= PAGES_IN_FLIGHT) await Promise.race(inFlight)
    }
  } finally {
    // Whatever ends it, a SCAN that is refused included: what is in hand is answered, and counted, before it is told.
    await Promise.all(inFlight)
  }
  if (failed !== undefined) throw failed
}

/** Walks over every matching stream of every primary, page by page, at the requested pace. */

import { setMaxListeners } from 'node:events'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection, Reach } from '../redis/connection.ts'
import { gapIn, type Primaries, withConnection } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { type Missing, whyMissing } from '../redis/refused.ts'
import { addMemory, type Memory, NO_MEMORY, readServer, readSize } from '../redis/server_state.ts'
import { type OwnSlots, readOwnSlots } from '../redis/slots.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import { type Pace, paced } from './pace.ts'
import { pagesOfKeys } from './scan.ts'

export interface WalkTask {
  /** Finds the primaries as they are now. May throw a Fault. */
  readonly findPrimaries: (stop: AbortSignal) => Promise<Primaries>
  readonly reach: Reach
  readonly policies: readonly Policy[]
  /** Streams in progress at a time. */
  readonly pageSize: number
  /** The pace of a primary, shared with everything else that works on it. */
  readonly paceOf: (address: Address) => Pace
  /** Selects the primaries to walk over; all by default. A walk that leaves some out is never whole. */
  readonly only?: (address: Address) => boolean
  /** Milliseconds after which the walk stops by itself; Infinity for never. */
  readonly sweepTimeoutMs: number
  readonly extent?: Extent
  /** Called after each page; the argument sums up what was done so far. */
  readonly onProgress?: (soFar: () => Progress) => void
  /** Called whenever Redis has answered a batch, which shows that the walk is making progress. */
  readonly onAnswer?: () => void
}

/** What a walk has done so far: streams looked at, and entries that were, or would be, removed. */
export interface Progress {
  readonly streams: number
  readonly removed: number
}

/** Told how far a walk has come: how many keys Redis holds, and how many SCAN has gone through. */
export interface Extent {
  expect(keys: number): void
  visit(keys: number): void
}

/** One primary while a walk is at work on it. */
export interface Visit {
  readonly address: Address
  /** Waits for its turn: every batch keeps the pace. */
  readonly ask: Ask
  /** The primary's own clock when the walk over it began. */
  readonly nowMs: number
  readonly stop: AbortSignal
  /** Whether the primary serves part of a cluster, which refuses a command over several slots. */
  readonly haveSlots: boolean
  /** Highest cost that one command should have where the work can be split (see `redis/ask.ts`). */
  readonly mostAtOnce: number
}

/** The work on one primary. */
export interface PrimaryWork {
  /** Works on one page of keys; several pages are in flight at a time. */
  page(keys: readonly Buffer[]): Promise<void>
  /** Called once after the last page, unless the connection failed: finishes what pages have left open. */
  end?(): Promise<void>
  /** Called once at the very end, whatever happened. */
  close?(): void | Promise<void>
}

/** How far a walk got. */
export interface Walk {
  readonly durationMs: number
  readonly primaries: number
  /** One for each primary that the walk could not finish, or one for all if it could not find them. */
  readonly faults: readonly Fault[]
  /** What ended it early: a stop that was asked for, a lost lease, memory pressure, or its own timeout. */
  readonly stopped: 'stop' | (typeof REASONS_TO_STOP)[number] | 'sweep-timeout' | null
  /** Of the primaries that answered; null where none did. */
  readonly memory: Memory | null
  /** Whether the walk saw every primary to its end. */
  readonly whole: boolean
}

/** The reason that a stop signal carries when the lease is lost, memory pressure calls for another sweep, or somebody paused. */
export const LEASE_LOST = 'lease-lost'
export const PRESSURE = 'pressure'
export const PAUSED = 'paused'
const REASONS_TO_STOP = [LEASE_LOST, PRESSURE, PAUSED] as const

/** Pages in flight: while Redis answers one, another is on its way and a third is being counted. */
const PAGES_IN_FLIGHT = 4

/**
 * Visits each primary and gives every page of its keys to the work that `begin` returns for it, then ends that work. When
 * `stop` fires no new page is started. Never throws what Redis did; calls `missing` for each command that Redis denied and
 * the walk can do without.
 */
export async function walk(
  task: WalkTask,
  stop: AbortSignal,
  begin: (visit: Visit) => PrimaryWork,
  missing: Missing,
): Promise<Walk> {
  const start = performance.now()
  const timeout = new AbortController()
  const timer = Number.isFinite(task.sweepTimeoutMs)
    ? setTimeout(() => timeout.abort(), task.sweepTimeoutMs)
    : undefined
  const ending = AbortSignal.any([stop, timeout.signal])
  // Each primary adds several listeners, and a cluster may have many primaries.
  setMaxListeners(0, ending)
  const faults: Fault[] = []
  const memories: Memory[] = []
  let primaries = 0
  let leftOut = 0
  await catchFault(faults, async () => {
    // A stop may have come while the lease was asked for: do not wait for a frozen Redis twice.
    if (ending.aborted) return
    const found = await task.findPrimaries(ending)
    const { addresses: all, layout, haveSlots } = found
    const addresses = all.filter(task.only ?? (() => true))
    leftOut = all.length - addresses.length
    // Slots without a primary count like a primary that is down.
    const gap = gapIn(found)
    if (gap !== null) faults.push(gap)
    primaries = addresses.length + faults.length
    await Promise.all(
      addresses.map((address) =>
        catchFault(faults, async () => {
          await withConnection(address, task.reach, ending, async (connection) => {
            const before = haveSlots ? await readOwnSlots(connection) : null
            await walkPrimary(connection, haveSlots, task, ending, begin, memories, missing)
            if (before !== null && !ending.aborted) assertUnmoved(before, await readOwnSlots(connection), address)
          })
        }),
      ),
    )
    if (!ending.aborted && (await task.findPrimaries(ending)).layout !== layout) {
      throw new Fault('MOVED', 'slots or primaries changed during the sweep: it may have missed streams that moved')
    }
  })
  clearTimeout(timer)
  const stopped = stop.aborted
    ? (REASONS_TO_STOP.find((reason) => reason === stop.reason) ?? 'stop')
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

/** A stream that moved during the walk may have been on neither side when the walk was there. @throws Fault */
function assertUnmoved(before: OwnSlots, after: OwnSlots, address: Address): void {
  if (before.areOpen || after.areOpen || before.served !== after.served)
    throw new Fault('MOVED', `${formatAddress(address)}: slots are being moved, so the sweep may have missed streams`)
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

/** Walks over one primary, on a connection of its own: each walk picks up new addresses, passwords and certificates. */
async function walkPrimary(
  connection: Connection,
  haveSlots: boolean,
  task: WalkTask,
  stop: AbortSignal,
  begin: (visit: Visit) => PrimaryWork,
  memories: Memory[],
  missing: Missing,
): Promise<void> {
  const { nowMs, memory } = await readServer(connection.ask)
  if (memory instanceof Refusal) missing('INFO', 'xtrimd_redis_memory_used_bytes', whyMissing(memory))
  memories.push(memory instanceof Refusal ? NO_MEMORY : memory)
  const pace = task.paceOf(connection.address)
  const askPaced = paced(connection, pace, stop)
  const ask: Ask = async (commands, costs) => {
    const replies = await askPaced(commands, costs)
    task.onAnswer?.()
    return replies
  }
  if (task.extent) task.extent.expect(await readSize(ask))
  const work = begin({ address: connection.address, ask, nowMs, stop, haveSlots, mostAtOnce: pace.mostAtOnce })
  try {
    await walkPages(task, stop, ask, work)
    await work.end?.()
  } finally {
    await work.close?.()
  }
}

async function walkPages(task: WalkTask, stop: AbortSignal, ask: Ask, work: PrimaryWork): Promise<void> {
  const inFlight = new Set<Promise<void>>()
  let failed: unknown
  const keysPerPage = Math.max(1, Math.ceil(task.pageSize / PAGES_IN_FLIGHT))
  try {
    for await (const keys of pagesOfKeys(ask, scanPattern(task.policies), keysPerPage)) {
      if (stop.aborted || failed !== undefined) break
      // SCAN goes through this many keys, whether they match or not.
      task.extent?.visit(keysPerPage)
      const page = work
        .page(keys)
        .catch((error: unknown) => {
          failed ??= error
        })
        .finally(() => inFlight.delete(page))
      inFlight.add(page)
      if (inFlight.size >= PAGES_IN_FLIGHT) await Promise.race(inFlight)
    }
  } finally {
    // Finish and count the pages in flight before reporting any error, even a refused SCAN.
    await Promise.all(inFlight)
  }
  if (failed !== undefined) throw failed
}

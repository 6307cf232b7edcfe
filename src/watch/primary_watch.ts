/** Listens to the writes on one primary, and holds each stream to its length and bytes after every so many of them. */

import type { Address } from '../redis/address.ts'
import type { Connection, Reach } from '../redis/connection.ts'
import { withConnection } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { readClock } from '../redis/server_state.ts'
import type { Policy } from '../retention/policy.ts'
import { orStop, sleep } from '../sweep/or_stop.ts'
import { type Pace, paced } from '../sweep/pace.ts'
import { sweepPage } from '../sweep/page.ts'
import { type Outcome, Tally } from '../sweep/tally.ts'
import { neededEvents, writesChannel } from './notifications.ts'
import type { WriteCounts } from './write_counts.ts'

/** Streams that are capped in one go. */
const AT_ONCE = 200
/** How often the subscription is asked for a sign of life: of a connection that died silently nothing else tells. */
const PING_MS = 5_000

/** How one primary is to be watched. */
export interface PrimaryWatchTask {
  readonly reach: Reach
  /** As they hold between sweeps. */
  readonly policies: readonly Policy[]
  readonly dryRun: boolean
  /** Whether to set `notify-keyspace-events` where it does not allow to listen. */
  readonly configure: boolean
  readonly paceOf: (address: Address) => Pace
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
}

/** What happens on one primary. */
export interface PrimaryEvents {
  /** Its writes are heard from now on. */
  heard(): void
  /** What Redis does not allow, though it could go on without; told at every connection. */
  limited(reason: string): void
  /** Some streams were held to their policies. */
  capped(tally: Tally): void
}

/**
 * Watches until `stop` fires, or as long as the connections last.
 * @throws Fault when the writes are heard no more, or the server refuses everything
 */
export async function watchPrimary(
  address: Address,
  task: PrimaryWatchTask,
  counts: WriteCounts,
  events: PrimaryEvents,
  stop: AbortSignal,
): Promise<void> {
  // One to listen on, where nothing else may be asked, and one to work on.
  await withConnection(address, task.reach, stop, (ears) =>
    withConnection(address, task.reach, stop, async (hands) => {
      await enableEvents(hands, task, events)
      await ears.subscribe(writesChannel(task.reach.database), (key) => counts.add(key))
      events.heard()
      counts.addMissed()
      const ending = new AbortController()
      const either = AbortSignal.any([stop, ending.signal])
      const lost = Promise.race([ears.ended, hands.ended]).then((fault) => {
        if (!stop.aborted) throw fault
      })
      const work = [keepAlive(ears, either), capDue(hands, task, counts, events, either)]
      try {
        await Promise.race([lost, Promise.all(work)])
      } finally {
        ending.abort()
        // The page in hand is finished before its connection is closed: what Redis does not answer is not counted.
        await Promise.allSettled(work)
      }
    }),
  )
}

/** Sees to it that Redis tells of writes. @throws Fault where it does not, and is not ours to change */
async function enableEvents({ ask }: Connection, task: PrimaryWatchTask, events: PrimaryEvents): Promise<void> {
  const [reply] = await ask([['CONFIG', 'GET', 'notify-keyspace-events']])
  if (reply instanceof Refusal) {
    events.limited(`whether notify-keyspace-events tells of writes is not known (${reply.message})`)
    return
  }
  const needed = neededEvents(Array.isArray(reply) ? String(reply[1] ?? '') : '')
  if (needed === null) return
  const command = ['CONFIG', 'SET', 'notify-keyspace-events', needed]
  const typed = command.join(' ')
  if (!task.configure)
    throw new Fault('other', `--watch: Redis does not tell of writes to streams: ${typed}, or give --watch-configure`)
  if (task.dryRun)
    throw new Fault('other', `--watch: Redis does not tell of writes to streams: ${typed}; a dry run sets nothing`)
  const [set] = await ask([command])
  if (set instanceof Refusal)
    throw new Fault(set.word, `--watch-configure: Redis does not allow ${typed} (${set.message})`)
}

async function keepAlive({ ask }: Connection, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await sleep(PING_MS, stop)
    if (!stop.aborted) await ask([['PING']])
  }
}

/** Caps what is due, page by page, until `stop` fires; the page in hand is finished. */
async function capDue(
  hands: Connection,
  { policies, dryRun, paceOf, onOutcome }: PrimaryWatchTask,
  counts: WriteCounts,
  events: PrimaryEvents,
  stop: AbortSignal,
): Promise<void> {
  const ask = paced(hands, paceOf(hands.address), stop)
  while (!stop.aborted) {
    await orStop(counts.someDue(), stop)
    if (stop.aborted) return
    const tally = new Tally(policies, 0)
    const keys = counts.take(AT_ONCE)
    const missing = (command: string, neededFor: string): void =>
      events.limited(`the ACL allows no ${command}, which ${neededFor} needs`)
    try {
      const nowMs = await readClock(ask)
      await sweepPage({ ask, keys, nowMs, stop, policies, dryRun, tally, missing, onOutcome })
    } finally {
      events.capped(tally)
    }
    if (tally.policies.some(({ errors }) => errors.MOVED !== undefined))
      throw new Fault('MOVED', 'streams have moved to another primary')
  }
}

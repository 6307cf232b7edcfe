/** Listens to the writes on one primary, and holds each stream to its length and bytes after every so many of them. */

import type { Address } from '../redis/address.ts'
import type { Connection, Reach } from '../redis/connection.ts'
import { withConnection } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { sleep } from '../walk/stoppable.ts'
import { type CapEvents, Caps, type CapTask } from './caps.ts'
import { neededEvents, writesChannel } from './notifications.ts'
import type { WriteCounts } from './write_counts.ts'

/**
 * How often the subscription is asked for a sign of life, and Redis whether it tells of writes still: of a connection that
 * died silently, and of a setting that somebody else made, nothing else tells.
 */
const CHECK_MS = 2_000

/** How one primary is to be watched. */
export interface PrimaryWatchTask extends CapTask {
  readonly reach: Reach
  /** Whether to set `notify-keyspace-events` where it does not allow to listen. */
  readonly configure: boolean
}

/** What happens on one primary. */
export interface PrimaryEvents extends CapEvents {
  /** Its writes are heard from now on. @returns whether so much may have gone unheard that every stream must be looked at */
  heard(): boolean
  /** Every stream was looked at. */
  sawAll(): void
}

/**
 * Watches until `stop` fires, or as long as the connections last. What was written before its
 * writes are heard is looked for in those streams that are remembered, or in all.
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
      const canAsk = await enableEvents(hands, task, events)
      await ears.subscribe(writesChannel(task.reach.database), (key) => counts.add(key))
      const missedMuch = events.heard()
      counts.addMissed()
      const ending = new AbortController()
      const either = AbortSignal.any([stop, ending.signal])
      const lost = Promise.race([ears.ended, hands.ended]).then((fault) => {
        if (!stop.aborted) throw fault
      })
      const caps = new Caps(hands, task, counts, events, either)
      const lookAtAll = async (): Promise<void> => {
        if (missedMuch && (await caps.everything())) events.sawAll()
      }
      const work = [caps.whatIsDue(), lookAtAll(), keepAlive(ears, either), canAsk && keepEnabled(hands, either)]
      try {
        await Promise.race([lost, Promise.all(work)])
      } finally {
        ending.abort()
        // What is in hand is finished before its connection is closed: what Redis does not answer is not counted.
        await Promise.allSettled(work)
      }
    }),
  )
}

/**
 * Sees to it that Redis tells of writes. @returns whether it may be asked for that
 * @throws Fault where it does not tell, and is not ours to change
 */
async function enableEvents({ ask }: Connection, task: PrimaryWatchTask, events: PrimaryEvents): Promise<boolean> {
  const needed = await readNeeded(ask)
  if (needed instanceof Refusal) {
    events.limited(`whether notify-keyspace-events tells of writes is not known (${needed.message})`)
    return false
  }
  if (needed === null) return true
  const command = ['CONFIG', 'SET', 'notify-keyspace-events', needed]
  const typed = command.join(' ')
  if (!task.configure)
    throw new Fault('other', `--watch: Redis does not tell of writes to streams: ${typed}, or give --watch-configure`)
  if (task.dryRun)
    throw new Fault('other', `--watch: Redis does not tell of writes to streams: ${typed}; a dry run sets nothing`)
  const [set] = await ask([command])
  if (set instanceof Refusal)
    throw new Fault(set.word, `--watch-configure: Redis does not allow ${typed} (${set.message})`)
  return true
}

/** What `notify-keyspace-events` must become; null where it is enough. */
async function readNeeded(ask: Connection['ask']): Promise<string | null | Refusal> {
  const [reply] = await ask([['CONFIG', 'GET', 'notify-keyspace-events']])
  return reply instanceof Refusal ? reply : neededEvents(Array.isArray(reply) ? String(reply[1] ?? '') : '')
}

async function keepAlive({ ask }: Connection, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await sleep(CHECK_MS, stop)
    if (!stop.aborted) await ask([['PING']])
  }
}

/** @throws Fault when Redis tells of writes no more: to begin anew is to see to it that it does */
async function keepEnabled({ ask }: Connection, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await sleep(CHECK_MS, stop)
    if (!stop.aborted && typeof (await readNeeded(ask)) === 'string')
      throw new Fault('other', 'notify-keyspace-events was changed, and Redis tells of writes no more')
  }
}

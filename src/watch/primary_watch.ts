/** Listens to the writes on one primary, and caps a stream after every n writes to it. */

import type { Address } from '../redis/address.ts'
import type { Connection, Reach } from '../redis/connection.ts'
import { withConnection } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { faultOf } from '../redis/refused.ts'
import { sleep } from '../walk/stoppable.ts'
import { type CapEvents, Caps, type CapTask } from './caps.ts'
import { neededEvents, writesChannel } from './notifications.ts'
import type { WriteCounts } from './write_counts.ts'

/**
 * How often to ping the subscription and to check that notifications are still on. Nothing else reveals a connection that
 * died silently, or a setting that somebody changed.
 */
const CHECK_MS = 2_000

export interface PrimaryWatchTask extends CapTask {
  readonly reach: Reach
  /** Whether to set `notify-keyspace-events` if it does not report writes. */
  readonly configure: boolean
}

/** What happens on one primary. */
export interface PrimaryEvents extends CapEvents {
  /** Writes are reported from now on. @returns whether so many may have been missed that every stream must be looked at */
  heard(): boolean
  /** Every stream was looked at. */
  sawAll(): void
}

/**
 * Watches until `stop` fires or a connection ends. Streams may have grown before the subscription began, so it starts by
 * capping the streams in `counts`, or every stream if too many writes were missed.
 * @throws Fault if a connection ends, notifications are off, or the server refuses everything
 */
export async function watchPrimary(
  address: Address,
  task: PrimaryWatchTask,
  counts: WriteCounts,
  events: PrimaryEvents,
  stop: AbortSignal,
): Promise<void> {
  // A connection that subscribes can do nothing else (under RESP2), so the trimming needs a second one.
  await withConnection(address, task.reach, stop, (listening) =>
    withConnection(address, task.reach, stop, async (working) => {
      const canReadConfig = await enableEvents(working, task, events)
      const refusal = await listening.subscribe(writesChannel(task.reach.database), (key) => counts.add(key))
      if (refusal !== null) throw faultOf(refusal, 'SUBSCRIBE', '--watch')
      const mustLookAtAll = events.heard()
      counts.makeAllDue()
      const ending = new AbortController()
      const either = AbortSignal.any([stop, ending.signal])
      const lost = Promise.race([listening.ended, working.ended]).then((fault) => {
        if (!stop.aborted) throw fault
      })
      const caps = new Caps(working, task, counts, events, either)
      const lookAtAll = async (): Promise<void> => {
        if (mustLookAtAll && (await caps.capAllStreams())) events.sawAll()
      }
      const work = [
        caps.capDueStreams(),
        lookAtAll(),
        keepAlive(listening, either),
        canReadConfig && checkStillEnabled(working, either),
      ]
      try {
        await Promise.race([lost, Promise.all(work)])
      } finally {
        ending.abort()
        // Finish the pages in flight before their connection closes: only trims that Redis answered are counted.
        await Promise.allSettled(work)
        counts.releaseAll()
      }
    }),
  )
}

/**
 * Makes sure that Redis reports writes. @returns whether the ACL lets us read the setting
 * @throws Fault if it does not report them, and we may not change that
 */
async function enableEvents({ ask }: Connection, task: PrimaryWatchTask, events: PrimaryEvents): Promise<boolean> {
  const needed = await readNeeded(ask)
  if (needed instanceof Refusal) {
    events.limited(`cannot check that notify-keyspace-events reports writes (${needed.message})`)
    return false
  }
  if (needed === null) return true
  const command = ['CONFIG', 'SET', 'notify-keyspace-events', needed]
  const typed = command.join(' ')
  if (!task.configure)
    throw new Fault('other', `--watch: Redis does not report writes to streams: run ${typed}, or use --watch-configure`)
  if (task.dryRun)
    throw new Fault('other', `--watch: Redis does not report writes to streams: run ${typed}; a dry run sets nothing`)
  const [set] = await ask([command])
  if (set instanceof Refusal)
    throw new Fault(set.word, `--watch-configure: Redis does not allow ${typed} (${set.message})`)
  return true
}

/** The value that `notify-keyspace-events` needs, or null if it reports writes already. */
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

/** @throws Fault if somebody turned notifications off; the watch then starts again, which turns them on or says what to do */
async function checkStillEnabled({ ask }: Connection, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await sleep(CHECK_MS, stop)
    if (!stop.aborted && typeof (await readNeeded(ask)) === 'string')
      throw new Fault('other', 'notify-keyspace-events was changed: Redis no longer reports writes')
  }
}

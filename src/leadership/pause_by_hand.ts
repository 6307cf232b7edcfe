/** `xtrimd pause` and `xtrimd resume`, and what the other commands tell of a pause. */
import { hostname } from 'node:os'
import type { Config } from '../config/config.ts'
import { pausedSentence, pausedWords } from '../phrases/pause.ts'
import { Fault, isServerFault } from '../redis/refusal.ts'
import { type Pause, PauseKey } from '../shared_keys/pause_key.ts'
import type { Log } from '../telemetry/log.ts'

/** @returns what to print @throws Fault */
export async function pauseByHand(config: Config, stop: AbortSignal): Promise<string> {
  const { forMs, reason } = config.pause
  const sinceMs = Date.now()
  const pause = { sinceMs, untilMs: forMs === null ? null : sinceMs + forMs, reason, by: hostname() }
  await keyOf(config).set(pause, stop)
  return `${pausedSentence(pause)}\nEvery copy stops within a third of its --lease-ttl.`
}

/** @returns what to print @throws Fault */
export async function resumeByHand(config: Config, stop: AbortSignal): Promise<string> {
  const ended = await keyOf(config).delete(stop)
  return ended === null ? 'Nobody had paused.' : `Resumed. It was ${pausedWords(ended)}.`
}

/** The pause in force. Null also where it cannot be read, which the log says. */
export async function readPause(config: Config, stop: AbortSignal, log: Log): Promise<Pause | null> {
  try {
    return await keyOf(config).read(stop)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    // That the server does not answer, the rest of the command tells too.
    if (!isServerFault(error)) log.warn({ cause: error.code, reason: error.message }, 'could not read --pause-key')
    return null
  }
}

function keyOf({ pause, redis }: Config): PauseKey {
  return new PauseKey(pause.key, redis.topology, redis.reach)
}

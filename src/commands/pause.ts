/** `xtrimd pause` and `xtrimd resume`, and what the other commands tell of a pause. */
import { hostname } from 'node:os'
import type { Config } from '../config/config.ts'
import { pausedSentence, pausedWords } from '../phrases/pause.ts'
import { sentence } from '../phrases/table.ts'
import { Fault, isServerFault } from '../redis/refusal.ts'
import { type Pause, PauseKey } from '../shared_keys/pause_key.ts'
import { EXIT, type Invocation } from './invocation.ts'

/** What a pause means for the daemon, in the report of another command. */
export const DAEMON_RESTS = 'The daemon does not sweep.'

export function pause(invocation: Invocation): Promise<number> {
  const { forMs, reason } = invocation.config.pause
  const sinceMs = Date.now()
  const begun = { sinceMs, untilMs: forMs === null ? null : sinceMs + forMs, reason, by: hostname() }
  return change('pause', invocation, async (key) => {
    await key.set(begun, invocation.stop)
    return `${pausedSentence(begun)}\nEvery copy stops within a third of its --lease-ttl.`
  })
}

export function resume(invocation: Invocation): Promise<number> {
  return change('resume', invocation, async (key) => {
    const ended = await key.delete(invocation.stop)
    return ended === null ? 'Nobody had paused.' : `Resumed. It was ${pausedWords(ended)}.`
  })
}

/** Changes the key, and prints what came of it. */
async function change(
  verb: 'pause' | 'resume',
  { config, console }: Invocation,
  work: (key: PauseKey) => Promise<string>,
): Promise<number> {
  try {
    await console.print(`${await work(keyOf(config))}\n`)
    return EXIT.success
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    await console.printError(`xtrimd: could not ${verb}: ${error.message}\n`)
    return EXIT.failure
  }
}

/** The pause in force. Null also where it cannot be read, which the log says. */
export async function readPause({ config, stop, log }: Invocation): Promise<Pause | null> {
  try {
    return await keyOf(config).read(stop)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    // That the server does not answer, the rest of the command tells too.
    if (!isServerFault(error)) log.warn({ cause: error.code, reason: error.message }, 'could not read --pause-key')
    return null
  }
}

/** The pause in words, and what it means for the command; empty if there is none. */
export function pauseNote(paused: Pause | null, meaning: string): string {
  return paused === null ? '' : [...sentence(`${pausedSentence(paused)} ${meaning}`), ''].join('\n')
}

function keyOf({ pause: { key }, redis }: Config): PauseKey {
  return new PauseKey(key, redis.topology, redis.reach)
}

/** A pause in words. */
import type { Pause } from '../shared_keys/pause_key.ts'
import { when } from '../text/when.ts'

/** A whole sentence. */
export function pausedSentence(pause: Pause): string {
  return `P${pausedWords(pause).slice(1)}.`
}

export function pausedWords({ sinceMs, untilMs, reason, by }: Pause): string {
  const since = sinceMs === null ? '' : ` since ${when(sinceMs)}`
  const who = by === null ? '' : ` by ${by}`
  const until = untilMs === null ? '' : `, until ${when(untilMs)}`
  const why = reason === null ? '' : `: ${reason}`
  return `paused${since}${who}${until}${why}`
}

/** The one door to croner: when sweeps are due. */
import { Cron } from 'croner'
import { BrokenRule } from '../text/quantities.ts'

/** A pattern that is known to fire, in a time zone that is known to exist. */
export interface CronPattern {
  readonly pattern: string
  readonly timezone: string
  /** The next time it fires, in milliseconds since 1970, or null if never again. */
  readonly nextAfter: (ms: number) => number | null
}

/** Reads the name of a time zone. @throws BrokenRule */
export function parseTimezone(text: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return text
  } catch {
    throw new BrokenRule('must be a time zone such as UTC or Europe/Berlin')
  }
}

/** Reads a pattern of five fields, or six with seconds in front. @throws BrokenRule also for one that never fires */
export function parseCron(text: string, timezone: string): CronPattern {
  const pattern = text.trim().replace(/\s+/g, ' ')
  const fields = pattern.split(' ').length
  if (fields !== 5 && fields !== 6) {
    throw new BrokenRule('must have five fields (minute hour day month weekday), or six with seconds in front')
  }
  const job = makeJob(pattern, timezone)
  if (job.nextRun() === null) throw new BrokenRule('must fire some day, and this one never does')
  return Object.freeze({ pattern, timezone, nextAfter: (ms: number) => job.nextRun(new Date(ms))?.getTime() ?? null })
}

function makeJob(pattern: string, timezone: string): Cron {
  try {
    return new Cron(pattern, { timezone, mode: '5-or-6-parts', paused: true })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, '').replace(/\.$/, '') : String(error)
    throw new BrokenRule(`must be a cron pattern (${why})`)
  }
}

/** Calls `tick` whenever the pattern fires, never before the call returns. @returns what ends it */
export function startCron(cron: CronPattern, tick: () => void): () => void {
  const job = new Cron(cron.pattern, { timezone: cron.timezone, mode: '5-or-6-parts' }, tick)
  return () => job.stop()
}

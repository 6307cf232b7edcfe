/** When sweeps are due. Only this file imports croner. */
import { Cron } from 'croner'
import { BrokenRule } from '../text/quantities.ts'

/** A pattern that fires at some time, in a time zone that exists. */
export interface CronPattern {
  readonly pattern: string
  readonly timezone: string
  /** The next firing after a moment, both in milliseconds since 1970; null if it never fires again. */
  readonly nextAfter: (ms: number) => number | null
}

/** @throws BrokenRule if the system does not know the time zone */
export function parseTimezone(text: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return text
  } catch {
    throw new BrokenRule('must be a time zone such as UTC or Europe/Berlin')
  }
}

/** Parses a pattern of five fields, or six with seconds first. @throws BrokenRule also if it never fires */
export function parseCron(text: string, timezone: string): CronPattern {
  const pattern = text.trim().replace(/\s+/g, ' ')
  const fields = pattern.split(' ').length
  if (fields !== 5 && fields !== 6) {
    throw new BrokenRule('must have five fields (minute hour day month weekday), or six with seconds first')
  }
  const job = makeJob(pattern, timezone)
  if (job.nextRun() === null) throw new BrokenRule('must fire at some time; this pattern never does')
  return Object.freeze({ pattern, timezone, nextAfter: (ms: number) => job.nextRun(new Date(ms))?.getTime() ?? null })
}

function makeJob(pattern: string, timezone: string): Cron {
  try {
    return new Cron(pattern, { timezone, mode: '5-or-6-parts', paused: true })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, '').replace(/\.$/, '') : String(error)
    throw new BrokenRule(`must be a valid cron pattern (${why})`)
  }
}

/** Calls `tick` whenever the pattern fires, never before this returns. @returns a function that stops it */
export function startCron(cron: CronPattern, tick: () => void): () => void {
  const job = new Cron(cron.pattern, { timezone: cron.timezone, mode: '5-or-6-parts' }, tick)
  return () => job.stop()
}

/** A range of stream IDs, as `--from` and `--to` give it. Both ends belong to it. */
import { BrokenRule } from '../text/quantities.ts'
import { isBefore, parseStreamId, type StreamId } from './stream_id.ts'

export interface IdRange {
  readonly from: StreamId
  readonly to: StreamId
}

const LAST = 2n ** 64n - 1n

export const EVERY_ID: IdRange = { from: { ms: 0n, seq: 0n }, to: { ms: LAST, seq: LAST } }

const FORMS = 'must be a time such as 2026-11-28 or 2026-11-28T09:30:00Z, or an ID such as 1764322200000-0'

const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** The first ID of a time, or the ID itself. @throws BrokenRule */
export function parseFrom(text: string): StreamId {
  return parseBound(text, 0n, 0)
}

/** The last ID of a time, or the ID itself. A day, a minute or a second counts to its end. @throws BrokenRule */
export function parseTo(text: string): StreamId {
  return parseBound(text, LAST, 1)
}

/** `seq` completes an ID or a time that has none. `atEnd` is 1 for the end of what the time names, 0 for its start. */
function parseBound(text: string, seq: bigint, atEnd: 0 | 1): StreamId {
  const [, ms, given] = /^(\d{1,20})(?:-(\d{1,20}))?$/.exec(text) ?? []
  if (ms !== undefined) {
    const id = given === undefined ? { ms: BigInt(ms), seq } : parseStreamId(text)
    if (id.ms > LAST || id.seq > LAST) throw new BrokenRule('must have parts below 2^64')
    return id
  }
  const start = TIME.test(text) ? Date.parse(text) : Number.NaN
  // Date.parse takes 31 February for a day in March.
  if (Number.isNaN(start) || !isInCalendar(text)) throw new BrokenRule(FORMS)
  if (start < 0) throw new BrokenRule('must not be before 1970')
  return { ms: BigInt(start + atEnd * (lengthOf(text) - 1)), seq }
}

function isInCalendar(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split('-').map(Number)
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day
}

/** How many milliseconds a time names: a whole day, minute or second, or fractions of it. */
function lengthOf(text: string): number {
  if (text.length === 10) return 86_400_000
  const [, seconds, fraction = ''] = /T\d\d:\d\d(:\d\d)?(?:\.(\d+))?/.exec(text) ?? []
  return seconds === undefined ? 60_000 : 10 ** (3 - fraction.length)
}

export function isWithin(id: StreamId, { from, to }: IdRange): boolean {
  return !isBefore(id, from) && !isBefore(to, id)
}

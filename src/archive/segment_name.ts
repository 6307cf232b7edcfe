/**
 * Where segments are: `v1/policy=<name>/date=YYYY-MM-DD/<time>-<random>.ndjson.zst`, below the folder or prefix of `--archive`.
 * Date and time are those of the archiving, in UTC, and not those of the entries: one segment holds entries of many streams
 * and times, and IDs need not be times at all.
 */
import { randomBytes } from 'node:crypto'

/** The folder of this version of the format, which is never changed: another format gets another folder. */
export const VERSION_FOLDER = 'v1'

/** File systems take names of at most 255 bytes. */
const LONGEST_FOLDER = 255

export interface SegmentPlace {
  readonly policy: string
  /** `YYYY-MM-DD`. */
  readonly date: string
}

/** A new name below the archive's folder, for a segment begun at `nowMs`. Names of one policy sort by time. */
export function newSegmentName(policy: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString()
  const file = `${time.replace(/[-:.]/g, '')}-${randomBytes(8).toString('hex')}.ndjson.zst`
  return [VERSION_FOLDER, policyFolder(policy), `date=${time.slice(0, 10)}`, file].join('/')
}

/** What a name says; null for a file that is not a segment. */
export function placeOf(name: string): SegmentPlace | null {
  const parts = /^v1\/policy=([^/]+)\/date=(\d{4}-\d\d-\d\d)\/[^/.][^/]*\.ndjson\.zst$/.exec(name)
  try {
    return parts === null ? null : { policy: decodeURIComponent(parts[1] as string), date: parts[2] as string }
  } catch {
    return null
  }
}

/** Policy names may be globs: everything but letters, digits, `_`, `.` and `-` is percent-encoded. */
export function policyFolder(policy: string): string {
  const encoded = encodeURIComponent(policy).replace(
    /[!'()*~]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `policy=${encoded}`
}

/** Whether a policy's folder fits into a file system. */
export function hasFolder(policy: string): boolean {
  return policyFolder(policy).length <= LONGEST_FOLDER
}

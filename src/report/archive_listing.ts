/** What `archive ls` prints. */

import { table } from '../phrases/table.ts'
import type { Listing } from '../retrieve/listing.ts'
import type { Restored } from '../retrieve/restore.ts'
import { counted } from '../text/counted.ts'
import { roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'

/** As a table for people. */
export function listingText({ days, total }: Listing): string {
  if (total.segments === 0) return 'nothing was archived yet\n'
  const rows = [
    ['policy', 'date', 'segments', 'entries', 'bytes'],
    ...days.map(({ policy, date, segments, entries, bytes }) => [policy, date, segments, entries, roundSize(bytes)]),
    ['all', '', total.segments, total.entries, roundSize(total.bytes)],
  ]
  return `${table(rows).join('\n')}\n`
}

/** As the object of `--output json`. */
export function listingJson({ days, total, damaged }: Listing) {
  return { ...total, days, damaged: damaged.map(({ message }) => message) }
}

/** What `archive restore` prints for people. */
export function restoredText(
  { stream, toStream }: { readonly stream: Buffer; readonly toStream: Buffer },
  { added, found }: Restored,
): string {
  const before = found === 0 ? '' : `; ${counted(found, 'entry was', 'entries were')} there already`
  return `restored ${counted(added, 'entry', 'entries')} of ${shown(stream)} into ${shown(toStream)}${before}\n`
}

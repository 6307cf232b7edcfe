/** What an archive holds, by policy and date. */
import { ArchiveFault, type Store } from '../store/store.ts'
import { segmentsOf } from './segments.ts'

/** The segments of one policy and one date of archiving. */
export interface ListedDay {
  readonly policy: string
  readonly date: string
  segments: number
  entries: number
  /** As stored, compressed. */
  bytes: number
}

export interface Listing {
  /** In the order of policies, then of dates. */
  readonly days: readonly ListedDay[]
  readonly total: { readonly segments: number; readonly entries: number; readonly bytes: number }
  readonly damaged: readonly ArchiveFault[]
}

/** @throws ArchiveFault if the archive cannot be read */
export async function listArchive(store: Store): Promise<Listing> {
  const days = new Map<string, ListedDay>()
  const total = { segments: 0, entries: 0, bytes: 0 }
  const damaged: ArchiveFault[] = []
  for await (const segment of segmentsOf(store)) {
    if (segment instanceof ArchiveFault) {
      damaged.push(segment)
      continue
    }
    const { policy, date, bytes, content } = segment
    const key = `${policy}\n${date}`
    const day = days.get(key) ?? { policy, date, segments: 0, entries: 0, bytes: 0 }
    days.set(key, day)
    for (const sum of [day, total]) {
      sum.segments++
      sum.entries += content.entries
      sum.bytes += bytes
    }
  }
  return { days: [...days.values()], total, damaged }
}

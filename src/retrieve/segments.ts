/** The segments of an archive, and what each says that it holds. */
import type { SegmentContent } from '../archive/segment_footer.ts'
import { placeOf, type SegmentPlace, VERSION_FOLDER } from '../archive/segment_name.ts'
import { contentOf } from '../archive/segment_reader.ts'
import { ArchiveFault, type Store } from '../store/store.ts'

export interface Segment extends SegmentPlace {
  readonly name: string
  /** As it is stored, compressed. */
  readonly bytes: number
  readonly content: SegmentContent
}

/** Ends of segments read at a time: each takes an object store some hundredths of a second. */
const AT_ONCE = 16

/** Every segment, in the order of names; a fault in place of each that is damaged. @throws ArchiveFault if the archive cannot be read */
export async function* segmentsOf(store: Store): AsyncGenerator<Segment | ArchiveFault> {
  const pending: Promise<Segment | ArchiveFault>[] = []
  try {
    for await (const file of store.list(VERSION_FOLDER)) {
      const place = placeOf(file.name)
      if (place === null) continue
      const segment = contentOf(store, file)
        .then((content) => ({ ...place, ...file, content }))
        .catch(damageOf)
      // It is awaited in its turn; an earlier one may fail first.
      segment.catch(() => {})
      pending.push(segment)
      if (pending.length >= AT_ONCE) yield await (pending.shift() as Promise<Segment | ArchiveFault>)
    }
    while (pending.length > 0) yield await (pending.shift() as Promise<Segment | ArchiveFault>)
  } finally {
    await Promise.allSettled(pending)
  }
}

/** The fault, if only this segment is concerned. @throws any other error */
export function damageOf(error: unknown): ArchiveFault {
  if (error instanceof ArchiveFault && error.code === 'damaged') return error
  throw error
}

/** What `archive cat` and `archive restore` do: find the entries of one stream, and hand them on in order. */
import type { RetrievalTerms } from '../config/archive_settings.ts'
import { primaryOf, withConnection } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import type { ArchiveFault, Store } from '../store/store.ts'
import { shown } from '../text/shown.ts'
import { paced } from '../walk/pace.ts'
import type { WalkTask } from '../walk/walk.ts'
import { merged } from './merged.ts'
import { type Restored, RestoreRefused, restore } from './restore.ts'
import { findRuns } from './runs.ts'

/** Lines are handed on in texts of about this many bytes. */
const TEXT_BYTES = 64 * 1024

/**
 * The archived entries in the order of their IDs, each once, as text of whole lines. Calls `onDamaged` for each segment that
 * cannot be read; the others are read all the same.
 * @throws ArchiveFault
 */
export async function* readEntries(
  store: Store,
  { stream, range }: RetrievalTerms,
  onDamaged: (fault: ArchiveFault) => void,
): AsyncGenerator<Buffer> {
  const { runs, damaged } = await findRuns(store, stream, range)
  damaged.forEach(onDamaged)
  let pieces: Buffer[] = []
  let bytes = 0
  for await (const { line } of merged(store, stream, range, runs)) {
    pieces.push(line, LINE_FEED)
    bytes += line.length + 1
    if (bytes < TEXT_BYTES) continue
    yield Buffer.concat(pieces)
    pieces = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(pieces)
}

const LINE_FEED = Buffer.from('\n')

/**
 * Puts the archived entries into the target stream, counting in `restored` as it goes. Where a segment is damaged, nothing
 * is restored: the gap could not be filled later.
 * @throws RestoreRefused, Fault, ArchiveFault
 */
export async function restoreEntries(
  store: Store,
  { stream, range, toStream }: RetrievalTerms & { readonly toStream: Buffer },
  { findPrimaries, reach, paceOf }: Pick<WalkTask, 'findPrimaries' | 'reach' | 'paceOf'>,
  restored: Restored,
  stop: AbortSignal,
): Promise<void> {
  const { runs, damaged } = await findRuns(store, stream, range)
  if (damaged[0] !== undefined) throw damaged[0]
  if (runs.length === 0) throw new RestoreRefused(`the archive holds no entries of ${shown(stream)} in this range`)
  const address = primaryOf(toStream, await findPrimaries(stop))
  if (address === undefined) throw new Fault('CLUSTERDOWN', `no primary serves the slot of ${shown(toStream)}`)
  await withConnection(address, reach, stop, async (connection) => {
    const ask = paced(connection, paceOf(address), stop)
    await restore(ask, toStream, merged(store, stream, range, runs), restored, stop)
  })
}

/** `xtrimd archive ls`, `archive cat` and `archive restore`. */
import type { ArchiveTerms, RetrievalTerms } from '../config/archive_settings.ts'
import { Fault } from '../redis/refusal.ts'
import { listingJson, listingText, restoredText } from '../report/archive_listing.ts'
import { listArchive } from '../retrieve/listing.ts'
import { RestoreRefused } from '../retrieve/restore.ts'
import { readEntries, restoreEntries } from '../retrieve/retrieve.ts'
import { openStore } from '../store/open_store.ts'
import { ArchiveFault, type Store } from '../store/store.ts'
import { EXIT, exitCode, type Invocation, printReport } from './invocation.ts'

export function listArchived(invocation: Invocation): Promise<number> {
  const { log } = invocation
  return withArchive(invocation, async (store) => {
    const listing = await listArchive(store)
    for (const { code, message } of listing.damaged) log.error({ cause: code }, message)
    await printReport(
      invocation,
      () => listingJson(listing),
      () => listingText(listing),
    )
    return listing.damaged.length === 0
  })
}

export function printArchived(invocation: Invocation): Promise<number> {
  const { config, stop, log, console } = invocation
  return withArchive(invocation, async (store) => {
    let isWhole = true
    const onDamaged = ({ code, message }: ArchiveFault): void => {
      isWhole = false
      log.error({ cause: code }, message)
    }
    for await (const lines of readEntries(store, config.retrieval as RetrievalTerms, onDamaged)) {
      // After `| head` nobody reads on, and that is not a failure.
      if (!(await console.print(lines))) return isWhole
      if (stop.aborted) return false
    }
    return isWhole
  })
}

export function restoreArchived(invocation: Invocation): Promise<number> {
  const { config, task, stop, log } = invocation
  const terms = config.retrieval as RetrievalTerms & { toStream: Buffer }
  const restored = { added: 0, found: 0 }
  return withArchive(invocation, async (store) => {
    try {
      await restoreEntries(store, terms, task, restored, stop)
    } catch (error) {
      if (restored.added > 0) log.error({ ...restored }, 'ended half-way; the same command goes on from here')
      throw error
    }
    await printReport(
      invocation,
      () => restored,
      () => restoredText(terms, restored),
    )
    if (stop.aborted) log.error({ ...restored }, 'asked to stop; the same command goes on from here')
    return !stop.aborted
  })
}

/** Works on the archive. What goes wrong with it, or with Redis, is logged: none of it is a bug. */
async function withArchive({ config, log }: Invocation, work: (store: Store) => Promise<boolean>): Promise<number> {
  const { location, s3 } = config.archive as ArchiveTerms
  const store = await openStore(location, s3)
  try {
    return exitCode(await work(store))
  } catch (error) {
    if (!(error instanceof ArchiveFault || error instanceof RestoreRefused || error instanceof Fault)) throw error
    log.error({ ...('code' in error ? { cause: error.code } : {}) }, error.message)
    return EXIT.failure
  } finally {
    store.close()
  }
}

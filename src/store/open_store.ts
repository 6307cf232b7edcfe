/** Opens the store that a location names. */
import { FileStore } from './file_store.ts'
import type { Location, S3Options } from './location.ts'
import type { Store } from './store.ts'

/** Connects to nothing yet. Loads the client of object stores, which takes 40 MB, only where it is needed. */
export async function openStore(location: Location, options: S3Options): Promise<Store> {
  if (location.kind === 'file') return new FileStore(location.folder)
  const { S3Store } = await import('./s3_store.ts')
  return new S3Store(location, options)
}

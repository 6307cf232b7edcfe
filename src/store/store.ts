/** A place that keeps segments: what the archive needs of a folder or a bucket, and how either fails. */
/** Why the archive failed, as a metric's label. */
export const ARCHIVE_CAUSES = [
  'connect',
  'timeout',
  'full',
  'denied',
  'missing',
  'busy',
  'checksum',
  'damaged',
  'other',
] as const
export type ArchiveCause = (typeof ARCHIVE_CAUSES)[number]

/** The archive could not store or read something. The message never holds a secret. */
export class ArchiveFault extends Error {
  override readonly name = 'ArchiveFault'
  readonly code: ArchiveCause

  constructor(code: ArchiveCause, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A stored file. Names are relative to the archive, with slashes. */
export interface Stored {
  readonly name: string
  readonly bytes: number
}

export interface Store {
  /** Stores a new file, given in parts. It is durable, and visible as a whole, once this resolves. @throws ArchiveFault */
  put(name: string, content: readonly Buffer[], stop?: AbortSignal): Promise<void>
  /** All files below a folder, in the order of their names. @throws ArchiveFault */
  list(folder: string): AsyncGenerator<Stored>
  /** The last `most` bytes of a file, fewer if it is shorter. @throws ArchiveFault */
  tail(file: Stored, most: number): Promise<Buffer>
  /** The content of a file, in pieces. @throws ArchiveFault */
  read(name: string): AsyncGenerator<Buffer>
  /** Frees connections. */
  close(): void
}

/** The archive: where it is, and what to read from it. */
import type { IdRange } from '../entries/id_range.ts'
import { EVERY_ID } from '../entries/id_range.ts'
import { isBefore } from '../entries/stream_id.ts'
import type { CommandName } from '../flags/command_line.ts'
import type { FlagName } from '../flags/flags.ts'
import type { Reader } from '../flags/reader.ts'
import { type Location, parseLocation, type S3Options } from '../store/location.ts'

export interface ArchiveTerms {
  readonly location: Location
  readonly s3: S3Options
  /** Size at which a segment is stored, compressed. */
  readonly segmentBytes: number
}

/** Which entries `archive cat` and `archive restore` read. */
export interface RetrievalTerms {
  readonly stream: Buffer
  readonly range: IdRange
  /** Null for `archive cat`. */
  readonly toStream: Buffer | null
}

/** Returns null without `--archive`; undefined if it noted a problem. */
export function readArchive(reader: Reader): ArchiveTerms | null | undefined {
  const given = reader.given('archive')[0]
  const options = ['archive-s3-endpoint', 'archive-s3-region', 'archive-segment'] as const
  if (given === undefined) {
    for (const name of options) {
      if (reader.given(name).length > 0 && reader.value(name) !== undefined)
        reader.refuse(name, 'must be used with --archive; it has no effect alone')
    }
    return null
  }
  if (given.text === 'off') return null
  // Somebody may put credentials into the URL: a message must not quote them.
  const location = reader.attempt(given, parseLocation, given.text.includes('@'))
  const [endpoint, region] = [reader.value('archive-s3-endpoint'), reader.value('archive-s3-region')]
  const segmentBytes = reader.value('archive-segment')
  if (location?.kind === 'file') {
    for (const name of ['archive-s3-endpoint', 'archive-s3-region'] as const) {
      if (reader.given(name).length > 0) reader.refuse(name, 'must be used with an s3:// URL in --archive')
    }
  }
  if (location === undefined || segmentBytes === undefined) return undefined
  return { location, s3: { endpoint: endpoint ?? null, region: region ?? null }, segmentBytes }
}

/** Which of the commands takes which of the flags that say what to read. */
const READ_FLAGS: Readonly<Partial<Record<FlagName, readonly CommandName[]>>> = {
  stream: ['archive cat', 'archive restore'],
  from: ['archive cat', 'archive restore'],
  to: ['archive cat', 'archive restore'],
  'to-stream': ['archive restore'],
}

/** Returns null for a command that reads no entries; undefined if it noted a problem. `isTyped` tells flags from variables. */
export function readRetrieval(
  reader: Reader,
  command: CommandName,
  archive: ArchiveTerms | null | undefined,
  isTyped: (flag: string) => boolean,
): RetrievalTerms | null | undefined {
  for (const [flag, commands] of Object.entries(READ_FLAGS) as [FlagName, readonly CommandName[]][]) {
    // A variable is not refused: it may be set for the other commands.
    if (isTyped(flag) && !commands.includes(command)) reader.refuse(flag, `must be used with ${commands.join(' or ')}`)
  }
  if (!command.startsWith('archive ')) return null
  if (archive === null) reader.problem('--archive', `must be given for ${command}, as in --archive file:///var/archive`)
  if (command === 'archive ls') return null
  const [stream, toStream] = [reader.value('stream'), reader.value('to-stream')]
  const range = { from: reader.value('from') ?? EVERY_ID.from, to: reader.value('to') ?? EVERY_ID.to }
  if (reader.given('stream').length === 0) reader.problem('--stream', `must be given for ${command}`)
  if (command === 'archive restore' && reader.given('to-stream').length === 0)
    reader.problem('--to-stream', `must be given for ${command}`)
  if (isBefore(range.to, range.from)) reader.refuse('to', 'must not be before --from')
  if (stream === undefined) return undefined
  return { stream, range, toStream: command === 'archive restore' ? (toStream ?? null) : null }
}

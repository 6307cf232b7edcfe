/** Keeps segments in a bucket of Amazon S3 or of a store that speaks its protocol. Only this file imports the AWS SDK. */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandOutput,
  S3Client,
} from '@aws-sdk/client-s3'
import type { Location, S3Options } from './location.ts'
import { type ArchiveCause, ArchiveFault, type Store, type Stored } from './store.ts'

/** Deadlines in ms. An attempt to store 8 MB takes less than 20 s at 4 Mbit/s. */
export interface Deadlines {
  readonly connectMs: number
  /** For one request, or for the next piece of an answer. */
  readonly attemptMs: number
  /** For a request with all its repetitions. */
  readonly totalMs: number
}
const DEADLINES: Deadlines = { connectMs: 5000, attemptMs: 20_000, totalMs: 60_000 }

/** The SDK repeats a request that failed for a passing reason, such as 503, after a short pause. */
const MOST_ATTEMPTS = 3

/** Stores that are not Amazon's take any region. */
const ANY_REGION = 'us-east-1'

export class S3Store implements Store {
  readonly #client: S3Client
  readonly #bucket: string
  /** Before every name: empty, or with a slash at its end. */
  readonly #prefix: string
  readonly #deadlines: Deadlines

  constructor(
    { bucket, prefix }: Extract<Location, { kind: 's3' }>,
    { endpoint, region }: S3Options,
    deadlines = DEADLINES,
  ) {
    this.#bucket = bucket
    this.#prefix = prefix === '' ? '' : `${prefix}/`
    this.#deadlines = deadlines
    this.#client = new S3Client({
      // Without a region here the SDK looks for it in the environment and in its files.
      ...(region === null ? (endpoint === null ? {} : { region: ANY_REGION }) : { region }),
      // Few stores but Amazon's have a host name for each bucket.
      ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
      maxAttempts: MOST_ATTEMPTS,
      requestHandler: {
        connectionTimeout: deadlines.connectMs,
        requestTimeout: deadlines.attemptMs,
        throwOnRequestTimeout: true,
      },
      // The SDK's default logger prints warnings to stderr, where a table or JSON may be expected.
      logger: SILENT,
    })
  }

  /**
   * The store compares both checksums with what it received, and acknowledges an object once it is durable. Some stores
   * ignore checksums, so what they acknowledge is compared too.
   */
  async put(name: string, parts: readonly Buffer[], stop?: AbortSignal): Promise<void> {
    // The SDK cannot repeat a request whose body comes in parts.
    const content = Buffer.concat(parts)
    const what = `could not store ${this.#shown(name)}`
    const md5 = createHash('md5').update(content).digest()
    const checksum = Buffer.alloc(4)
    checksum.writeUInt32BE(crc32(content))
    const command = new PutObjectCommand({
      Bucket: this.#bucket,
      Key: this.#prefix + name,
      Body: content,
      ContentType: 'application/zstd',
      ContentMD5: md5.toString('base64'),
      ChecksumCRC32: checksum.toString('base64'),
    })
    const reply = await this.#told(what, () => this.#client.send(command, { abortSignal: this.#deadline(stop) }))
    if (!isAcknowledged(reply, checksum.toString('base64'), md5.toString('hex')))
      throw new ArchiveFault('checksum', `${what}: the store acknowledged other content than was sent`)
  }

  async *list(folder: string): AsyncGenerator<Stored> {
    let token: string | undefined
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: `${this.#prefix}${folder}/`,
        ContinuationToken: token,
      })
      const { Contents = [], NextContinuationToken } = await this.#told(`could not list ${this.#shown(folder)}`, () =>
        this.#client.send(command, { abortSignal: this.#deadline() }),
      )
      for (const { Key = '', Size = 0 } of Contents) yield { name: Key.slice(this.#prefix.length), bytes: Size }
      token = NextContinuationToken
    } while (token !== undefined)
  }

  async tail({ name, bytes }: Stored, most: number): Promise<Buffer> {
    // A range has at least one byte. Not every store knows ranges that count from the end.
    if (bytes === 0) return Buffer.alloc(0)
    const pieces: Buffer[] = []
    for await (const piece of this.#get(name, `bytes=${Math.max(0, bytes - most)}-${bytes - 1}`)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  read(name: string): AsyncGenerator<Buffer> {
    return this.#get(name)
  }

  async *#get(name: string, Range?: string): AsyncGenerator<Buffer> {
    const what = `could not read ${this.#shown(name)}`
    const command = new GetObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + name, Range })
    const { Body } = await this.#told(what, () => this.#client.send(command, { abortSignal: this.#deadline() }))
    const pieces = (Body as AsyncIterable<Uint8Array> & { destroy(error?: Error): void }) ?? []
    const stalled = (): void => {
      pieces.destroy(Object.assign(new Error('no more data in time'), { name: 'TimeoutError' }))
    }
    let timer = setTimeout(stalled, this.#deadlines.attemptMs)
    try {
      for await (const piece of pieces) {
        clearTimeout(timer)
        yield Buffer.from(piece)
        timer = setTimeout(stalled, this.#deadlines.attemptMs)
      }
    } catch (error) {
      throw asFault(error, what)
    } finally {
      clearTimeout(timer)
      pieces.destroy()
    }
  }

  close(): void {
    this.#client.destroy()
  }

  #deadline(stop?: AbortSignal): AbortSignal {
    const timeout = AbortSignal.timeout(this.#deadlines.totalMs)
    return stop === undefined ? timeout : AbortSignal.any([stop, timeout])
  }

  #shown(name: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${name}`
  }

  async #told<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asFault(error, what)
    }
  }
}

/** By the checksum if the store replies with one. Else by the ETag, which is the MD5 of an object that is not encrypted with a key. */
function isAcknowledged(
  { ChecksumCRC32, ETag = '', ServerSideEncryption = 'AES256' }: PutObjectCommandOutput,
  checksum: string,
  md5: string,
): boolean {
  if (ChecksumCRC32 !== undefined) return ChecksumCRC32 === checksum
  const [, hash] = /^"?([0-9a-f]{32})"?$/.exec(ETag) ?? []
  return hash === undefined || ServerSideEncryption !== 'AES256' || hash === md5
}

const nothing = (): void => {}
const SILENT = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing }

/** Names of errors, as the SDK, the stores and Node call them. */
const CAUSES: Readonly<Record<string, ArchiveCause>> = {
  NoSuchBucket: 'missing',
  NoSuchKey: 'missing',
  NotFound: 'missing',
  AccessDenied: 'denied',
  Forbidden: 'denied',
  AllAccessDisabled: 'denied',
  InvalidAccessKeyId: 'denied',
  SignatureDoesNotMatch: 'denied',
  ExpiredToken: 'denied',
  InvalidToken: 'denied',
  CredentialsProviderError: 'denied',
  QuotaExceeded: 'full',
  EntityTooLarge: 'full',
  BadDigest: 'checksum',
  InvalidDigest: 'checksum',
  XAmzContentSHA256Mismatch: 'checksum',
  XAmzContentChecksumMismatch: 'checksum',
  SlowDown: 'busy',
  ServiceUnavailable: 'busy',
  InternalError: 'busy',
  TimeoutError: 'timeout',
  AbortError: 'timeout',
  RequestTimeout: 'timeout',
  ECONNREFUSED: 'connect',
  ECONNRESET: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  ENOTFOUND: 'connect',
  EAI_AGAIN: 'connect',
  EPIPE: 'connect',
}

/** Hints for errors of which the name alone does not say what to do. */
const HINTS: Readonly<Record<string, string>> = {
  CredentialsProviderError: ': the AWS SDK found no credentials in the environment, in files or in an instance role',
  NoSuchBucket: ': create the bucket, or correct --archive',
}

/** The message says what the SDK calls the error. It has no cause, because a store's answer may repeat the key and the signature. */
function asFault(error: unknown, what: string): ArchiveFault {
  if (error instanceof ArchiveFault) return error
  const { name, code, message, $metadata } = error as Error & {
    code?: string
    $metadata?: { httpStatusCode?: number; attempts?: number }
  }
  if (/Region is missing/.test(message))
    return new ArchiveFault('other', `${what}: set --archive-s3-region or AWS_REGION`)
  const status = $metadata?.httpStatusCode
  const word = code !== undefined && /^[A-Z]\w+$/.test(code) ? code : name
  const byStatus = status === undefined ? 'other' : status === 403 ? 'denied' : status >= 500 ? 'busy' : 'other'
  const told = [word, ...(status === undefined ? [] : [`HTTP ${status}`])].join(', ')
  return new ArchiveFault(CAUSES[word] ?? CAUSES[name] ?? byStatus, `${what} (${told})${HINTS[word] ?? ''}`)
}

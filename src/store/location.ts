/** Where an archive is: a folder of this machine or a bucket of an object store, parsed from `--archive`. */
import { BrokenRule } from '../text/quantities.ts'

export type Location =
  | { readonly kind: 'file'; readonly folder: string }
  /** `prefix` is empty or ends without a slash. */
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string }

/** How to reach an object store that is not Amazon's. Both are null unless given. */
export interface S3Options {
  readonly endpoint: string | null
  readonly region: string | null
}

const FORMS = 'must be file:///absolute/path or s3://bucket/prefix'

/** Bucket names as object stores accept them. Without `@` and `:`, so credentials never pass for a bucket. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

/** Parses `file:///absolute/path` or `s3://bucket/prefix`. Both are taken literally, without percent-decoding. @throws BrokenRule */
export function parseLocation(text: string): Location {
  const [, scheme, rest = ''] = /^(file|s3):\/\/(.*)$/s.exec(text) ?? []
  if (scheme === undefined) throw new BrokenRule(FORMS)
  if (/[?#\p{Cc}]/u.test(rest)) throw new BrokenRule(`${FORMS}, without ?, # or control characters`)
  return scheme === 'file' ? parseFolder(rest) : parseBucket(rest)
}

function parseFolder(path: string): Location {
  if (!path.startsWith('/'))
    throw new BrokenRule('must have three slashes and an absolute path, as in file:///var/archive')
  const folder = path.replace(/\/+$/, '')
  if (folder === '') throw new BrokenRule('must name a folder below /, as in file:///var/archive')
  assertPlain(folder.slice(1))
  return { kind: 'file', folder }
}

function parseBucket(rest: string): Location {
  const slash = rest.indexOf('/')
  const bucket = slash < 0 ? rest : rest.slice(0, slash)
  const prefix = slash < 0 ? '' : rest.slice(slash + 1).replace(/\/$/, '')
  if (bucket.includes('@') || bucket.includes(':'))
    throw new BrokenRule(
      'must not hold credentials; the AWS SDK finds them in the environment, in files or in the instance role',
    )
  if (!BUCKET.test(bucket))
    throw new BrokenRule(
      'must name a bucket of 3 to 63 lower-case letters, digits, dots or dashes, as in s3://bucket/prefix',
    )
  if (prefix !== '') assertPlain(prefix)
  return { kind: 's3', bucket, prefix }
}

function assertPlain(path: string): void {
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..'))
    throw new BrokenRule('must not have empty parts, . or .. in its path')
}

/** The inverse of parseLocation. */
export function formatLocation(location: Location): string {
  if (location.kind === 'file') return `file://${location.folder}`
  return `s3://${location.bucket}${location.prefix === '' ? '' : `/${location.prefix}`}`
}

/** The URL of an S3-compatible store. @throws BrokenRule */
export function parseEndpoint(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '')
    throw new BrokenRule('must be a URL such as http://127.0.0.1:9000 or https://storage.example.com')
  if (url.username !== '' || url.password !== '') throw new BrokenRule('must not hold a user or a password')
  if (url.search !== '' || url.hash !== '') throw new BrokenRule('must not have a query (?…) or a fragment (#…)')
  return text
}

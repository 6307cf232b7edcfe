/** Where Redis is and how to be let in, from the URLs, the flags, and the files that are read at every connection. */
import { parseRedisUrl, type RedisUrl } from '../redis/address.ts'
import type { Credentials, Reach, TlsOptions } from '../redis/connection.ts'
import type { Topology } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { BrokenRule } from '../text/quantities.ts'
import { readBytes } from './file.ts'
import type { FlagName } from './flags.ts'
import type { Given, Reader, Source } from './reader.ts'

/** Which servers, how to reach them, and where that was told. */
export interface RedisSettings {
  readonly topology: Topology
  readonly reach: Reach
  /** Where the URLs came from, and the password, if there is one. Neither is shown: URLs may hold one too. */
  readonly from: { readonly url: Source; readonly password: Source | 'URL' | null }
}

/** A variable without a flag: what is typed as an argument, everybody on the machine can read. */
export const PASSWORD_VARIABLE = 'XTRIMD_REDIS_PASSWORD'

/** Reads all of it; undefined where a problem was noted. */
export function readRedis(reader: Reader): RedisSettings | undefined {
  const given = urlGiven(reader)
  const urls = reader.attempt(given, parseUrls, true)
  const replyTimeoutMs = reader.value('reply-timeout')
  const topology = readTopology(reader, given, urls)
  const credentials = readCredentials(reader, given, urls?.[0])
  const tls = readTls(reader, urls?.[0])
  if (!urls?.[0] || replyTimeoutMs === undefined || credentials === undefined || topology === undefined)
    return undefined
  const from = { url: given.source, password: passwordSource(reader, urls[0]) }
  return { topology, reach: { credentials, database: urls[0].database, tls, replyTimeoutMs }, from }
}

/** `REDIS_URL` is what platforms set for the application: read where nothing was said to us. */
function urlGiven(reader: Reader): Given {
  const { REDIS_URL: platform = '' } = reader.env
  const own = reader.given('redis-url')[0]
  if (own === undefined && platform.trim() !== '')
    return { text: platform, subject: '--redis-url (from REDIS_URL)', source: 'REDIS_URL' }
  // It has a default.
  return reader.text('redis-url') as Given
}

/** Several URLs lead to one system: they may differ in nothing but the address. */
function parseUrls(text: string): RedisUrl[] {
  const urls = text.split(',').map((url) => parseRedisUrl(url.trim()))
  const rest = urls.map(({ address: _, ...url }) => JSON.stringify(url))
  if (new Set(rest).size > 1)
    throw new BrokenRule('must have the same scheme, user, password and database in each of its URLs')
  return urls
}

function readTopology(reader: Reader, given: Given, urls: readonly RedisUrl[] | undefined): Topology | undefined {
  const mode = reader.value('redis-mode')
  const master = reader.text('sentinel-master')
  if (mode === 'sentinel' && master === undefined)
    reader.problem('--sentinel-master', 'must be given with --redis-mode sentinel')
  if (mode !== undefined && mode !== 'sentinel' && master !== undefined) {
    reader.problem(master.subject, `must be given only with --redis-mode sentinel, not ${mode}`, master.text)
  }
  if (mode === undefined || urls === undefined) return undefined
  const addresses = urls.map(({ address }) => address)
  if (mode === 'standalone' && urls.length > 1)
    reader.problem(given.subject, 'must be one URL with --redis-mode standalone')
  if (mode === 'cluster' && urls[0]?.database !== 0)
    reader.problem(given.subject, 'must name no database with --redis-mode cluster, which has only 0')
  return mode === 'sentinel' ? { mode, addresses, master: master?.text ?? '' } : { mode, addresses }
}

/** User and password, which flags and variables give before the URL does. The file is read anew at every call. */
function readCredentials(reader: Reader, given: Given, url: RedisUrl | undefined): (() => Credentials) | undefined {
  const file = reader.text('redis-password-file')
  const { [PASSWORD_VARIABLE]: variable = '' } = reader.env
  const username = reader.value('redis-username') ?? url?.username ?? null
  if (file !== undefined) {
    // Who takes the flag for the password itself must not find it in a log: only what can be nothing but a path is quoted.
    const isPath = /^\.{0,2}\//.test(file.text)
    if (variable !== '')
      reader.problem(file.subject, `must not be given together with ${PASSWORD_VARIABLE}`, isPath ? file.text : null)
    if (reader.attempt(file, readPassword, !isPath) === undefined) return undefined
    return () => ({ username, password: atConnect(file, readPassword) })
  }
  const password = variable || url?.password || null
  if (username !== null && password === null && url !== undefined) {
    const subject = url.username === null ? '--redis-username' : given.subject
    reader.problem(
      subject,
      `must come with a password for its user: in the URL, by --redis-password-file or by ${PASSWORD_VARIABLE}`,
    )
  }
  return () => ({ username, password })
}

function passwordSource(reader: Reader, url: RedisUrl): Source | 'URL' | null {
  const file = reader.text('redis-password-file')
  if (file !== undefined) return file.source
  if (reader.env[PASSWORD_VARIABLE]) return PASSWORD_VARIABLE
  return url.password === null ? null : 'URL'
}

const TLS_FILES = { 'tls-ca': 'ca', 'tls-cert': 'cert', 'tls-key': 'key' } as const satisfies Partial<
  Record<FlagName, keyof TlsOptions>
>

/** What a TLS connection is made with, its files read anew at every call; null for a plain one. */
function readTls(reader: Reader, url: RedisUrl | undefined): (() => TlsOptions) | null {
  const names = [...Object.keys(TLS_FILES), 'tls-servername'] as (keyof typeof TLS_FILES | 'tls-servername')[]
  const given = names.flatMap((name) =>
    reader.value(name) === undefined ? [] : [{ name, ...(reader.text(name) as Given) }],
  )
  if (url !== undefined && !url.tls)
    for (const { subject, text } of given) reader.problem(subject, 'must go with a rediss: URL', text)
  const pair = given.filter(({ name }) => name === 'tls-cert' || name === 'tls-key')
  if (pair.length === 1)
    reader.problem(pair[0]?.subject ?? '', 'must be given together: --tls-cert and --tls-key', pair[0]?.text ?? null)
  if (!url?.tls) return null
  return () =>
    Object.fromEntries(
      given.map((entry) =>
        entry.name === 'tls-servername'
          ? ['servername', entry.text]
          : [TLS_FILES[entry.name], atConnect(entry, readBytes)],
      ),
    )
}

/** The file's first line. Rotated secrets end in a newline as often as not. */
function readPassword(path: string): string {
  const password = readBytes(path)
    .toString()
    .replace(/\r?\n[\s\S]*$/, '')
  if (password === '') throw new BrokenRule('must be a file with the password in its first line')
  return password
}

/** Reads a file that was there at start. @throws Fault, which costs the sweep and not the process */
function atConnect<T>({ text, subject }: Given, read: (path: string) => T): T {
  try {
    return read(text)
  } catch (error) {
    throw error instanceof BrokenRule ? new Fault('connect', `${subject}: ${error.message}`) : error
  }
}

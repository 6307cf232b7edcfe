/** Where Redis is and how to log in: from the URLs, the flags, and files that are read again at every connection. */

import { readBytes } from '../flags/file.ts'
import { type FlagName, PASSWORD_VARIABLE } from '../flags/flags.ts'
import type { Given, Reader, Source } from '../flags/reader.ts'
import { parseRedisUrl, type RedisUrl } from '../redis/address.ts'
import type { Credentials, Reach, TlsOptions } from '../redis/connection.ts'
import type { Topology } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { BrokenRule } from '../text/quantities.ts'

export interface RedisSettings {
  readonly topology: Topology
  readonly reach: Reach
  /** Where the URLs and the password, if any, came from. Their values are never shown: a URL may hold a password too. */
  readonly from: { readonly url: Source; readonly password: Source | 'URL' | null }
}

/** Returns undefined if it noted a problem. */
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
  const inCluster = topology.mode === 'cluster'
  return { topology, reach: { credentials, database: urls[0].database, tls, replyTimeoutMs, inCluster }, from }
}

/** Platforms set `REDIS_URL` for the application; it counts only if no URL was given to xtrimd itself. */
function urlGiven(reader: Reader): Given {
  const { REDIS_URL: platform = '' } = reader.env
  const own = reader.given('redis-url')[0]
  if (own === undefined && platform.trim() !== '')
    return { text: platform, subject: '--redis-url (from REDIS_URL)', source: 'REDIS_URL' }
  // The flag has a default, so this is never undefined.
  return reader.text('redis-url') as Given
}

/** Several URLs lead to one system, so they may differ only in their addresses. */
function parseUrls(text: string): RedisUrl[] {
  const urls = text.split(',').map((url) => parseRedisUrl(url.trim()))
  const rest = urls.map(({ address: _, ...url }) => JSON.stringify(url))
  if (new Set(rest).size > 1) throw new BrokenRule('must use the same scheme, user, password and database in every URL')
  return urls
}

function readTopology(reader: Reader, given: Given, urls: readonly RedisUrl[] | undefined): Topology | undefined {
  const mode = reader.value('redis-mode')
  const master = reader.text('sentinel-master')
  if (mode === 'sentinel' && master === undefined)
    reader.problem('--sentinel-master', 'must be given when --redis-mode is sentinel')
  if (mode !== undefined && mode !== 'sentinel' && master !== undefined) {
    reader.problem(master.subject, `must be given only when --redis-mode is sentinel, not ${mode}`, master.text)
  }
  if (mode === undefined || urls === undefined) return undefined
  const addresses = urls.map(({ address }) => address)
  if (mode === 'standalone' && urls.length > 1)
    reader.problem(given.subject, 'must be a single URL when --redis-mode is standalone')
  if (mode === 'cluster' && urls[0]?.database !== 0)
    reader.problem(given.subject, 'must not name a database when --redis-mode is cluster, which has only database 0')
  return mode === 'sentinel' ? { mode, addresses, master: master?.text ?? '' } : { mode, addresses }
}

/** User and password: flags and variables beat the URL. Each call of the result reads the password file again. */
function readCredentials(reader: Reader, given: Given, url: RedisUrl | undefined): (() => Credentials) | undefined {
  const file = reader.text('redis-password-file')
  const { [PASSWORD_VARIABLE]: variable = '' } = reader.env
  const username = reader.value('redis-username') ?? url?.username ?? null
  if (file !== undefined) {
    // Somebody may pass the password itself by mistake, so a message quotes the value only if it is surely a path.
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
      `must come with a password for the user, in the URL, --redis-password-file or ${PASSWORD_VARIABLE}`,
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

/** The options of a TLS connection, null for a plain one. Each call of the result reads the files again. */
function readTls(reader: Reader, url: RedisUrl | undefined): (() => TlsOptions) | null {
  const names = [...Object.keys(TLS_FILES), 'tls-servername'] as (keyof typeof TLS_FILES | 'tls-servername')[]
  const given = names.flatMap((name) =>
    reader.value(name) === undefined ? [] : [{ name, ...(reader.text(name) as Given) }],
  )
  if (url !== undefined && !url.tls)
    for (const { subject, text } of given) reader.problem(subject, 'must be used with a rediss:// URL', text)
  const pair = given.filter(({ name }) => name === 'tls-cert' || name === 'tls-key')
  const [one, other] = pair
  if (one !== undefined && other === undefined) {
    const missing = one.name === 'tls-cert' ? 'tls-key' : 'tls-cert'
    reader.problem(one.subject, `must be given together with --${missing}`, one.text)
  }
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

/** Returns the first line of the file: some secrets end in a newline, others do not. */
function readPassword(path: string): string {
  const password = readBytes(path)
    .toString()
    .replace(/\r?\n[\s\S]*$/, '')
  if (password === '') throw new BrokenRule('must be a file whose first line is the password')
  return password
}

/** Reads a file that was readable at start. @throws Fault, which ends the sweep but not the process */
function atConnect<T>({ text, subject }: Given, read: (path: string) => T): T {
  try {
    return read(text)
  } catch (error) {
    throw error instanceof BrokenRule ? new Fault('connect', `${subject}: ${error.message}`) : error
  }
}

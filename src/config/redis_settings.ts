/** Where Redis is and how to be let in, from the URL, its variables and the password file. */
import { readFileSync } from 'node:fs'
import { type Address, parseRedisUrl, type RedisUrl } from '../redis/address.ts'
import type { Credentials, Reach } from '../redis/connection.ts'
import { Fault } from '../redis/refusal.ts'
import { BrokenRule } from '../text/quantities.ts'
import type { Given, Reader } from './reader.ts'

export interface RedisSettings {
  readonly addresses: readonly Address[]
  readonly reach: Reach
}

export const PASSWORD_VARIABLE = 'XTRIMD_REDIS_PASSWORD'

/** Reads all of it; undefined where a problem was noted. */
export function readRedis(reader: Reader): RedisSettings | undefined {
  const given = urlGiven(reader)
  const url = reader.attempt(given, parseRedisUrl, true)
  const replyTimeoutMs = reader.value('reply-timeout')
  const credentials = readCredentials(reader, given.subject, url)
  if (url === undefined || replyTimeoutMs === undefined || credentials === undefined) return undefined
  return {
    addresses: [url.address],
    reach: { credentials, database: url.database, tls: url.tls ? {} : null, replyTimeoutMs },
  }
}

/** `REDIS_URL` is what platforms set for the application: read where nothing was said to us. */
function urlGiven(reader: Reader): Given {
  const { REDIS_URL: platform = '' } = reader.env
  const own = reader.given('redis-url')[0]
  if (own === undefined && platform.trim() !== '') return { text: platform, subject: '--redis-url (from REDIS_URL)' }
  return reader.text('redis-url') ?? { text: '', subject: '--redis-url' }
}

/** User and password, which flags and variables give before the URL does. The password is fetched anew at every call. */
function readCredentials(
  reader: Reader,
  urlSubject: string,
  url: RedisUrl | undefined,
): (() => Credentials) | undefined {
  const file = reader.text('redis-password-file')
  const { [PASSWORD_VARIABLE]: variable = '' } = reader.env
  const username = reader.value('redis-username') ?? url?.username ?? null
  if (file !== undefined && variable !== '') {
    reader.problem(file.subject, `must not be given together with ${PASSWORD_VARIABLE}`)
  }
  if (file !== undefined) {
    if (reader.attempt(file, readPassword) === undefined) return undefined
    return () => ({ username, password: passwordAtConnect(file) })
  }
  const password = variable || url?.password || null
  if (username !== null && password === null && url !== undefined) {
    const subject = url.username !== null ? urlSubject : '--redis-username'
    reader.problem(
      subject,
      `must come with a password for its user: in the URL, by --redis-password-file or by ${PASSWORD_VARIABLE}`,
    )
  }
  return () => ({ username, password })
}

/** The file's first line. Rotated secrets end in a newline as often as not. */
function readPassword(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new BrokenRule(
      `must be a file that can be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    )
  }
  const password = text.replace(/\r?\n[\s\S]*$/, '')
  if (password === '') throw new BrokenRule('must be a file with the password in its first line')
  return password
}

function passwordAtConnect(file: Given): string {
  try {
    return readPassword(file.text)
  } catch (error) {
    throw error instanceof BrokenRule ? new Fault('connect', `${file.subject}: ${error.message}`) : error
  }
}

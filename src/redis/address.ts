/** Where Redis is, parsed from URLs. No message made here quotes a URL, since it may hold a password. */
import { BrokenRule } from '../text/quantities.ts'

/** Where one server listens: a host (IPv6 without brackets) and a port, or the path of a Unix socket. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** The parts of `redis://[user[:password]@]host[:port][/database]`, `rediss://…` or `unix:///path[?db=n]`. */
export interface RedisUrl {
  readonly address: Address
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
  readonly database: number
}

/** `host:port`, with an IPv6 host in brackets, or `unix:/path`. Different addresses give different texts. */
export function formatAddress(address: Address): string {
  if ('path' in address) return `unix:${address.path}`
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** The URL of an address, without user and password. */
export function formatRedisUrl(address: Address, tls: boolean, database: number): string {
  if ('path' in address) {
    const path = encodeURI(address.path).replace(/[?#]/g, encodeURIComponent)
    return `unix://${path}${database === 0 ? '' : `?db=${database}`}`
  }
  return `${tls ? 'rediss' : 'redis'}://${formatAddress(address)}${database === 0 ? '' : `/${database}`}`
}

/** @throws BrokenRule */
export function parseRedisUrl(text: string): RedisUrl {
  const scheme = /^([a-z]+):/i.exec(text)?.[1]?.toLowerCase()
  if (scheme === 'unix') return parseUnixUrl(text)
  if (scheme !== 'redis' && scheme !== 'rediss') {
    throw new BrokenRule('must start with redis://, rediss:// or unix://')
  }
  const url = URL.parse(text)
  if (url === null || url.hostname === '' || url.port === '0')
    throw new BrokenRule(`must be ${scheme}://[user:password@]host[:port][/database]`)
  if (url.search !== '' || url.hash !== '') throw new BrokenRule('must not have a query (?…) or a fragment (#…)')
  return {
    address: { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || 6379) },
    tls: scheme === 'rediss',
    ...credentialsOf(url),
    database: parseDatabase(url.pathname.replace(/^\//, '')),
  }
}

function parseUnixUrl(text: string): RedisUrl {
  // WHATWG URLs allow credentials only before a host, and a socket has none, so parse it with the host name `socket`.
  const withHost = text.replace(/^unix:(?:\/\/)?((?:[^/@]*@)?)(?=\/(?!\/))/i, 'unix://$1socket')
  const url = withHost === text ? null : URL.parse(withHost)
  if (url === null || url.pathname.length < 2 || url.hash !== '') {
    throw new BrokenRule('must be unix:///absolute/path[?db=n]')
  }
  const { db, ...unknown } = Object.fromEntries(url.searchParams)
  if (Object.keys(unknown).length > 0) throw new BrokenRule('must have only the parameter db, as in unix:///path?db=1')
  return {
    address: { path: decoded(url.pathname) },
    tls: false,
    ...credentialsOf(url),
    database: parseDatabase(db ?? ''),
  }
}

function parseDatabase(text: string): number {
  if (!/^(?:|0|[1-9]\d{0,5})$/.test(text))
    throw new BrokenRule('must name the database by number, as in redis://host/1')
  return Number(text)
}

function credentialsOf(url: URL): { username: string | null; password: string | null } {
  return { username: decoded(url.username) || null, password: decoded(url.password) || null }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new BrokenRule('must have its user, password and path percent-encoded')
  }
}

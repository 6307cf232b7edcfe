/** Keyspace notifications: where Redis tells of every XADD, and what it must be told for it to do so. */

/** `K` and `E` choose the channels, `t` the events of streams, `A` stands for all events but misses. */
const NEEDED = ['E', 't'] as const

/** The channel on which Redis names the key of every XADD in a database. */
export function writesChannel(database: number): string {
  return `__keyevent@${database}__:xadd`
}

/** What `notify-keyspace-events` must become for the writes to be told, keeping all it tells now; null where it is enough. */
export function neededEvents(current: string): string | null {
  const missing = NEEDED.filter((flag) => !current.includes(flag) && !(flag === 't' && current.includes('A')))
  return missing.length === 0 ? null : current + missing.join('')
}

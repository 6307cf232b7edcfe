/** Keyspace notifications: the channel that reports every XADD, and the setting that turns it on. */

/** `E` turns on the keyevent channels, `t` stream events; `A` means every kind of event except misses. */
const NEEDED = ['E', 't'] as const

/** The channel on which Redis publishes the key of every XADD in a database. */
export function writesChannel(database: number): string {
  return `__keyevent@${database}__:xadd`
}

/** The value of `notify-keyspace-events` that also reports stream writes, or null if the current one already does. */
export function neededEvents(current: string): string | null {
  const missing = NEEDED.filter((flag) => !current.includes(flag) && !(flag === 't' && current.includes('A')))
  return missing.length === 0 ? null : current + missing.join('')
}

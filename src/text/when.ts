/** A point in time in ms since 1970 as text, to the second, in UTC. */
export function when(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}

/** The environment of a program that is started here. */

/** This process', without what the program would read: what is set for a Redis of one's own must neither steer it nor lead it there. */
export function withoutOurs(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('XTRIMD_') && name !== 'REDIS_URL'),
  )
}

/** The environment for programs that scripts and tests start. */

/** Without xtrimd's own variables: those of the developer must not configure it or point it to another Redis. */
export function withoutOurs(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('XTRIMD_') && name !== 'REDIS_URL'),
  )
}

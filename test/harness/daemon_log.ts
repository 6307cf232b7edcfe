/** What a daemon has logged. */

import type { Daemon, LogLine } from './program.ts'

/** The lines of the sweeps that have ended, from position `from` of the log on. */
export function sweepLines({ logs }: Pick<Daemon, 'logs'>, from = 0): LogLine[] {
  return logs.slice(from).filter(({ msg }) => msg === 'sweep')
}

/** Whether the daemon has logged this message. */
export function hasLogged({ logs }: Pick<Daemon, 'logs'>, message: string): boolean {
  return logs.some(({ msg }) => msg === message)
}

/** `xtrimd run`, the daemon. */
import { runDaemon } from '../daemon/daemon.ts'
import { formatProblem } from '../flags/problem.ts'
import { subjectOf } from '../flags/reader.ts'
import { startFields } from '../report/json.ts'
import { complain, EXIT, type Invocation } from './invocation.ts'

/** Reasons why listening failed that only another `--http-bind` can fix. */
const UNUSABLE_BIND: Readonly<Record<string, string>> = {
  EADDRINUSE: 'must be an address that is not in use (EADDRINUSE)',
  EADDRNOTAVAIL: 'must be an address of this machine (EADDRNOTAVAIL)',
  EAFNOSUPPORT: 'must be an address of a family that this machine supports (EAFNOSUPPORT)',
  EINVAL: 'must be an address that the system can listen on (EINVAL)',
  EACCES: 'must be a port this user may listen on (EACCES)',
  ENOTFOUND: 'must name a host that resolves (ENOTFOUND)',
  EAI_AGAIN: 'must name a host that resolves (EAI_AGAIN)',
}

export async function run({ config, task, stop, log, version, console }: Invocation): Promise<number> {
  log.info({ version, ...startFields(config) }, 'starting')
  try {
    await runDaemon(config, task, version, log, stop)
    return EXIT.success
  } catch (error) {
    const rule = UNUSABLE_BIND[(error as NodeJS.ErrnoException).code ?? '']
    if (rule === undefined || (error as NodeJS.ErrnoException).syscall === 'connect') throw error
    const bind = config.settings.find(({ flag }) => flag === 'http-bind')
    const subject = subjectOf('http-bind', bind?.from ?? 'flag')
    return await complain(console, [formatProblem({ subject, rule, value: bind?.value ?? null })])
  }
}

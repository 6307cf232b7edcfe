/** From arguments and variables to one complete, frozen configuration, or to every problem at once. */
import type { LeaseTerms } from '../redis/lease.ts'
import { boundSize, type Policy } from '../retention/policy.ts'
import type { Threshold } from '../retention/pressure.ts'
import { type CronPattern, parseCron } from '../schedule/cron.ts'
import { suggestion } from '../text/nearest.ts'
import type { Bind } from './bind.ts'
import { type CommandName, parseCommandLine } from './command_line.ts'
import { type FlagName, type FlagValue, flags, PACES, PAGE_SIZES, variableOf } from './flags.ts'
import { readPolicies } from './policy_spec.ts'
import { formatProblem } from './problem.ts'
import { type Environment, Reader } from './reader.ts'
import { PASSWORD_VARIABLE, type RedisSettings, readRedis } from './redis_settings.ts'
import { type Setting, settingsInEffect } from './settings.ts'

/** Everything the program goes by. */
export interface Config {
  readonly command: CommandName
  readonly output: FlagValue<'output'>
  readonly redis: RedisSettings
  /** In the order in which they are tried. */
  readonly policies: readonly Policy[]
  readonly cron: CronPattern
  readonly runOnStart: boolean
  /** Infinity for no limit. */
  readonly sweepTimeoutMs: number
  readonly pageSize: number
  readonly pacePercent: number
  readonly dryRun: boolean
  /** Null where nothing is done between sweeps at writes. */
  readonly watch: WatchTerms | null
  /** Null where memory calls for no sweep. */
  readonly pressure: PressureTerms | null
  /** Null where every copy may sweep. */
  readonly lease: LeaseTerms | null
  readonly httpBind: Bind
  readonly streamMetrics: number
  readonly logLevel: FlagValue<'log-level'>
  readonly logFormat: FlagValue<'log-format'>
  /** Every value in effect with where it came from, nothing of it secret. */
  readonly settings: readonly Setting[]
  /** Variables that look like ours and are none, each a sentence. */
  readonly warnings: readonly string[]
}

/** How writes are watched between sweeps. */
export interface WatchTerms {
  /** Writes to one stream after which it is held to its policy. */
  readonly every: number
  /** Whether Redis may be told to tell of writes. */
  readonly configure: boolean
}

/** When memory calls for a sweep, and with which length limit. */
export interface PressureTerms {
  readonly threshold: Threshold
  /** Infinity for the policies' own. */
  readonly maxLength: number
  /** The longest between two readings of memory. */
  readonly intervalMs: number
}

/** What came of it: a text to print (help, version); what is wrong, and then of what to beware, line by line; or the configuration. */
export type Configured =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'problems'; readonly lines: readonly string[] }
  | { readonly kind: 'config'; readonly config: Config }

/**
 * Reads everything. What comes back needs no further check and no default. `onTerminal` says whether what the command logs
 * is read on one.
 */
export function configure(
  args: readonly string[],
  env: Environment,
  version: string,
  onTerminal: (command: CommandName) => boolean = () => false,
): Configured {
  const line = parseCommandLine(args, version)
  if (line.kind === 'text') return line
  const reader = new Reader(line.given, env, line.problems)
  // As a variable it may be there for other commands.
  const output = line.given.get('output')
  if (line.command === 'run' && output !== undefined)
    reader.problem('--output', 'must go with sweep or plan; the daemon logs', output.join(','))

  const policies = readPolicies(reader)
  const redis = readRedis(reader)
  const watch = readWatch(reader, policies)
  const pacePercent = reader.value('pace') ?? (watch === null ? PACES.alone : PACES.watching)
  const config = {
    command: line.command,
    output: reader.value('output'),
    redis,
    policies,
    cron: readCron(reader),
    runOnStart: reader.value('run-on-start'),
    sweepTimeoutMs: reader.value('sweep-timeout'),
    pageSize: reader.value('page-size') ?? (pacePercent === 100 ? PAGE_SIZES.fast : PAGE_SIZES.gentle),
    pacePercent,
    dryRun: reader.value('dry-run'),
    watch,
    pressure: readPressure(reader),
    lease: readLease(reader),
    httpBind: reader.value('http-bind'),
    streamMetrics: reader.value('stream-metrics'),
    logLevel: reader.value('log-level'),
    logFormat: reader.value('log-format') ?? (onTerminal(line.command) ? ('pretty' as const) : ('json' as const)),
    warnings: unknownVariables(env),
  }
  // Whatever is missing was noted as a problem, so without one the configuration is complete.
  return reader.problems.length > 0
    ? { kind: 'problems', lines: [...new Set(reader.problems.map(formatProblem)), ...config.warnings] }
    : { kind: 'config', config: Object.freeze({ ...config, settings: settingsInEffect(reader, config) }) as Config }
}

function readLease(reader: Reader): LeaseTerms | null | undefined {
  const [isOn, key, ttlMs] = [reader.value('lease'), reader.value('lease-key'), reader.value('lease-ttl')]
  if (isOn === undefined || key === undefined || ttlMs === undefined) return undefined
  // A lease is a write, and a dry run makes none; nor does it matter how many copies look.
  return isOn && reader.value('dry-run') !== true ? { key, ttlMs } : null
}

function readWatch(reader: Reader, policies: readonly Policy[] | undefined): WatchTerms | null {
  const [isOn, every, configure] = [reader.value('watch'), reader.value('watch-every'), reader.value('watch-configure')]
  refuseAlone(reader, 'watch', ['watch-every', 'watch-configure'])
  if (!isOn || every === undefined || configure === undefined) return null
  if (policies !== undefined && !policies.some(boundSize))
    reader.refuse('watch', 'must go with a max-length or max-bytes in some policy: it holds streams to nothing else')
  return { every, configure }
}

function readPressure(reader: Reader): PressureTerms | null {
  const [threshold, intervalMs] = [reader.value('pressure'), reader.value('pressure-interval')]
  const maxLength = reader.value('pressure-max-length')
  refuseAlone(reader, 'pressure', ['pressure-interval', 'pressure-max-length'])
  if (!threshold || intervalMs === undefined) return null
  return { threshold, maxLength: maxLength ?? Number.POSITIVE_INFINITY, intervalMs }
}

/** Flags that do nothing without another are refused where nobody gave that, not even to turn it off. */
function refuseAlone(reader: Reader, needed: FlagName, names: readonly FlagName[]): void {
  if (reader.given(needed).length > 0) return
  for (const name of names) {
    if (reader.given(name).length > 0 && reader.value(name) !== undefined)
      reader.refuse(name, `must go with --${needed}: alone it does nothing`)
  }
}

function readCron(reader: Reader): CronPattern | undefined {
  const timezone = reader.value('timezone')
  const pattern = reader.text('cron')
  return pattern && reader.attempt(pattern, (text) => parseCron(text, timezone ?? 'UTC'))
}

const PREFIX = 'XTRIMD_'

/** Kubernetes sets these for a Service that happens to be called xtrimd. */
const SERVICE_LINK = /^XTRIMD_(SERVICE_(HOST|PORT)|PORT)(_|$)/

function unknownVariables(env: Environment): string[] {
  const known = [...Object.keys(flags).map((name) => variableOf(name as FlagName)), PASSWORD_VARIABLE]
  const bare = (name: string): string => name.slice(PREFIX.length)
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name) && !SERVICE_LINK.test(name))
    .map(
      (name) => `${name} is no variable of xtrimd and has no effect${suggestion(bare(name), known.map(bare), PREFIX)}`,
    )
}

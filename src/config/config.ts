/** Turns arguments and variables into one complete, frozen configuration, or into a list of every problem. */

import type { Bind } from '../flags/bind.ts'
import { type CommandName, type ParsedLine, parseCommandLine } from '../flags/command_line.ts'
import {
  type FlagName,
  type FlagValue,
  flags,
  PACES,
  PAGE_SIZES,
  PASSWORD_VARIABLE,
  variableOf,
} from '../flags/flags.ts'
import { formatProblem } from '../flags/problem.ts'
import { type Environment, Reader } from '../flags/reader.ts'
import { limitSize, type Policy } from '../retention/policy.ts'
import type { Threshold } from '../retention/pressure.ts'
import { type CronPattern, parseCron } from '../schedule/cron.ts'
import { CLAIMS_PER_TERM, type LeaseTerms } from '../shared_keys/lease.ts'
import { suggestion } from '../text/nearest.ts'
import { type ArchiveTerms, type RetrievalTerms, readArchive, readRetrieval } from './archive_settings.ts'
import { type PolicySet, readPolicies } from './policy_spec.ts'
import { type RedisSettings, readRedis } from './redis_settings.ts'
import { type Setting, settingsInEffect } from './settings.ts'

export interface Config {
  readonly command: CommandName
  /** What followed the command, such as the key for `explain`; null if it takes nothing. */
  readonly operand: string | null
  readonly output: FlagValue<'output'>
  readonly redis: RedisSettings
  /** The first one that matches a key wins. */
  readonly policies: readonly Policy[]
  /** Null without `--policy-file`. */
  readonly policyFile: PolicyFile | null
  readonly cron: CronPattern
  readonly runOnStart: boolean
  /** Infinity means no limit. */
  readonly sweepTimeoutMs: number
  readonly pageSize: number
  readonly pacePercent: number
  readonly dryRun: boolean
  /** Null without `--watch`. */
  readonly watch: WatchTerms | null
  /** Null without `--pressure`. */
  readonly pressure: PressureTerms | null
  /** Null without `--archive`. */
  readonly archive: ArchiveTerms | null
  /** Null but for the commands that read archived entries. */
  readonly retrieval: RetrievalTerms | null
  /** Null if every copy may sweep. */
  readonly lease: LeaseTerms | null
  readonly pause: PauseTerms
  readonly httpBind: Bind
  readonly streamMetrics: number
  readonly top: TopTerms
  /** 0 where groups are not looked at. */
  readonly groupMetrics: number
  readonly logLevel: FlagValue<'log-level'>
  readonly logFormat: FlagValue<'log-format'>
  /** Every value in effect and where it came from, without secrets. */
  readonly settings: readonly Setting[]
  /** Sentences about unknown XTRIMD_ variables. */
  readonly warnings: readonly string[]
}

/** Where some of the policies come from, and how to read them all again. */
export interface PolicyFile {
  readonly path: string
  /** The version that the configuration was made from. */
  readonly version: string
  /** Reads and checks flags and file as at start. Returns every problem as a line if there are any. */
  readonly readAgain: () => PolicySet | { readonly problems: readonly string[] }
}

/** How writes are watched between sweeps. */
export interface WatchTerms {
  /** Trim a stream after this many writes to it. */
  readonly every: number
  /** Whether to set notify-keyspace-events in Redis if it does not announce writes. */
  readonly configure: boolean
}

/** At what use of memory to sweep, and with which length limit. */
export interface PressureTerms {
  readonly threshold: Threshold
  /** Infinity keeps the policies' own limits. */
  readonly maxLength: number
  /** Most time between two readings of memory. */
  readonly intervalMs: number
}

/** How the copies of the daemon are paused. */
export interface PauseTerms {
  readonly key: string
  /** How often a copy reads the key: as often as a lease is renewed, with a lease or without. */
  readonly readEveryMs: number
  /** For `xtrimd pause`: how long to pause; null until `xtrimd resume`. */
  readonly forMs: number | null
  readonly reason: string | null
}

/** What `top` shows, and how often. */
export interface TopTerms {
  readonly sort: FlagValue<'sort'>
  readonly limit: number
  readonly intervalMs: number
  /** The glob of keys to show; null for the streams of all policies. */
  readonly narrow: string | null
}

/** A text to print (help or version); every problem, then the warnings, as lines; or the configuration. */
export type Configured =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'problems'; readonly lines: readonly string[] }
  | { readonly kind: 'config'; readonly config: Config }

/**
 * Reads everything. The result is checked, and its defaults are filled in. `onTerminal` says whether a command's log goes
 * to a terminal.
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
  refuseForOtherCommands(reader, line)

  const { policies, fileVersion = null } = readPolicies(reader, line.command === 'top') ?? {}
  const redis = readRedis(reader)
  const archive = readArchive(reader)
  const watch = readWatch(reader, policies)
  const pacePercent = reader.value('pace') ?? (watch === null ? PACES.alone : PACES.watching)
  const config = {
    command: line.command,
    operand: line.operand,
    output: reader.value('output'),
    redis,
    policies,
    policyFile:
      fileVersion === null
        ? null
        : {
            path: reader.text('policy-file')?.text ?? '',
            version: fileVersion,
            readAgain: () => readPoliciesAgain(new Reader(line.given, env, [])),
          },
    cron: readCron(reader),
    runOnStart: reader.value('run-on-start'),
    sweepTimeoutMs: reader.value('sweep-timeout'),
    pageSize: reader.value('page-size') ?? (pacePercent === 100 ? PAGE_SIZES.fast : PAGE_SIZES.gentle),
    pacePercent,
    dryRun: reader.value('dry-run'),
    watch,
    pressure: readPressure(reader),
    archive,
    retrieval: readRetrieval(reader, line.command, archive, (flag) => line.given.has(flag)),
    lease: readLease(reader),
    pause: readPause(reader),
    httpBind: reader.value('http-bind'),
    streamMetrics: reader.value('stream-metrics'),
    top: readTop(reader),
    groupMetrics: reader.value('group-metrics'),
    logLevel: reader.value('log-level'),
    logFormat: reader.value('log-format') ?? (onTerminal(line.command) ? ('pretty' as const) : ('json' as const)),
    warnings: unknownVariables(env),
  }
  // Every missing value noted a problem, so without problems the configuration is complete.
  return reader.problems.length > 0
    ? { kind: 'problems', lines: [...problemLines(reader), ...config.warnings] }
    : { kind: 'config', config: Object.freeze({ ...config, settings: settingsInEffect(reader, config) }) as Config }
}

/** Applies every rule that a start applies to policies. */
function readPoliciesAgain(reader: Reader): ReturnType<PolicyFile['readAgain']> {
  const set = readPolicies(reader)
  readWatch(reader, set?.policies)
  return set === undefined || reader.problems.length > 0 ? { problems: problemLines(reader) } : set
}

function problemLines({ problems }: Reader): string[] {
  return [...new Set(problems.map(formatProblem))]
}

/** Refuses flags that the command does not use. A variable is not refused: it may be set for the other commands. */
function refuseForOtherCommands(reader: Reader, { command, given }: Pick<ParsedLine, 'command' | 'given'>): void {
  const output = given.get('output')
  if (/^(?:run|pause|resume)$/.test(command) && output !== undefined)
    reader.problem(
      '--output',
      'must be used with sweep, plan, explain or top; the daemon writes a log',
      output.join(','),
    )
  if (command === 'archive cat' && output !== undefined)
    reader.problem(
      '--output',
      'must not be used with archive cat, which prints one JSON object a line',
      output.join(','),
    )
  for (const name of ['for', 'reason'] as const)
    if (command !== 'pause' && given.has(name)) reader.refuse(name, 'must be used with pause')
  if (command === 'top') return
  for (const name of ['sort', 'limit', 'interval'] as const) {
    const texts = given.get(name)
    if (texts !== undefined) reader.problem(`--${name}`, 'must be used with top', texts.join(','))
  }
}

function readLease(reader: Reader): LeaseTerms | null | undefined {
  const [isOn, key, ttlMs] = [reader.value('lease'), reader.value('lease-key'), reader.value('lease-ttl')]
  if (isOn === undefined || key === undefined || ttlMs === undefined) return undefined
  // Taking the lease is a write, which a dry run must not make, and any number of copies may look.
  return isOn && reader.value('dry-run') !== true ? { key, ttlMs } : null
}

function readPause(reader: Reader): PauseTerms | undefined {
  const [key, ttlMs] = [reader.value('pause-key'), reader.value('lease-ttl')]
  const [forMs = null, reason = null] = [reader.value('for'), reader.value('reason')]
  if (key !== undefined && key === reader.value('lease-key'))
    reader.refuse('pause-key', 'must be another key than --lease-key')
  return key === undefined || ttlMs === undefined
    ? undefined
    : { key, readEveryMs: ttlMs / CLAIMS_PER_TERM, forMs, reason }
}

function readWatch(reader: Reader, policies: readonly Policy[] | undefined): WatchTerms | null {
  const [isOn, every, configure] = [reader.value('watch'), reader.value('watch-every'), reader.value('watch-configure')]
  refuseWithout(reader, 'watch', ['watch-every', 'watch-configure'])
  if (!isOn || every === undefined || configure === undefined) return null
  if (policies !== undefined && !policies.some(limitSize))
    reader.refuse('watch', 'must be used with a max-length or max-bytes in some policy; it enforces only those')
  return { every, configure }
}

function readPressure(reader: Reader): PressureTerms | null {
  const [threshold, intervalMs] = [reader.value('pressure'), reader.value('pressure-interval')]
  const maxLength = reader.value('pressure-max-length')
  refuseWithout(reader, 'pressure', ['pressure-interval', 'pressure-max-length'])
  if (!threshold || intervalMs === undefined) return null
  return { threshold, maxLength: maxLength ?? Number.POSITIVE_INFINITY, intervalMs }
}

function readTop(reader: Reader): TopTerms | undefined {
  const [sort, limit, intervalMs] = [reader.value('sort'), reader.value('limit'), reader.value('interval')]
  if (sort === undefined || limit === undefined || intervalMs === undefined) return undefined
  const match = reader.given('match')[0]
  return { sort, limit, intervalMs, narrow: match?.source === 'flag' ? match.text : null }
}

/** Refuses flags that have no effect without `needed`, unless `needed` was given, even to turn it off. */
function refuseWithout(reader: Reader, needed: FlagName, names: readonly FlagName[]): void {
  if (reader.given(needed).length > 0) return
  for (const name of names) {
    if (reader.given(name).length > 0 && reader.value(name) !== undefined)
      reader.refuse(name, `must be used with --${needed}; it has no effect alone`)
  }
}

function readCron(reader: Reader): CronPattern | undefined {
  const timezone = reader.value('timezone')
  const pattern = reader.text('cron')
  return pattern && reader.attempt(pattern, (text) => parseCron(text, timezone ?? 'UTC'))
}

const PREFIX = 'XTRIMD_'

/** Kubernetes sets these variables if a Service happens to be named xtrimd. */
const SERVICE_LINK = /^XTRIMD_(SERVICE_(HOST|PORT)|PORT)(_|$)/

function unknownVariables(env: Environment): string[] {
  const known = [...Object.keys(flags).map((name) => variableOf(name as FlagName)), PASSWORD_VARIABLE]
  const withoutPrefix = (name: string): string => name.slice(PREFIX.length)
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name) && !SERVICE_LINK.test(name))
    .map((name) => {
      const meant = suggestion(withoutPrefix(name), known.map(withoutPrefix), PREFIX)
      return `unknown variable ${name} has no effect${meant}`
    })
}

/**
 * Every flag, once: its name, its default, the rule its value obeys, and what the help says. All else derives from here.
 * It is long because it is one list; what one flag alone obeys is in `flag_rules.ts`.
 */
import { PROTECT_MODES, TRIM_MODES } from '../retention/policy.ts'
import { parseTimezone } from '../schedule/cron.ts'
import { oneOf, orOff, parseDuration, parseSize, parseSwitch, parseTimer, wholeNumber } from '../text/quantities.ts'
import { parseBind } from './bind.ts'
import { asIs, nonEmpty, parseLeaseTtl, parsePressure, parsePressureInterval, readableFile } from './flag_rules.ts'

/** One flag, whose value becomes a T. */
export interface Flag<T> {
  /** What stands behind the name in the help, such as `<duration|off>`. */
  readonly value: string
  /** As text, so that it goes through the same rule; null for a flag that is not set unless given. */
  readonly default: string | null
  /** Reads the text. Throws BrokenRule. */
  readonly parse: (text: string) => T
  readonly help: string
  /** May be given without a value, meaning true. */
  readonly isSwitch?: boolean
  readonly isRepeatable?: boolean
  /** Its value may hold a password: no message ever quotes it. */
  readonly isSecret?: boolean
}

function flag<T>(
  value: string,
  fallback: string | null,
  parse: (text: string) => T,
  help: string,
  traits: Partial<Flag<T>> = {},
): Flag<T> {
  return { value, default: fallback, parse, help, ...traits }
}

function toggle(fallback: 'true' | 'false', help: string): Flag<boolean> {
  return flag('[bool]', fallback, parseSwitch, help, { isSwitch: true })
}

/** Flags that may also stand in a policy, by the same name. */
export const limitFlags = {
  'max-length': flag(
    '<n|off>',
    '1000',
    orOff(wholeNumber(1)),
    'keep at most this many of the newest entries of a stream',
  ),
  'max-age': flag('<duration|off>', '24h', orOff(parseDuration), 'keep no entry older than this'),
  'max-bytes': flag('<size|off>', 'off', orOff(parseSize), 'keep a stream within this much memory'),
  trim: flag(
    '<approx|exact>',
    'approx',
    oneOf(...TRIM_MODES),
    'approx keeps up to one node more and is cheaper; exact keeps not one entry more',
  ),
  protect: flag(
    '<none|unread|unacked>',
    'none',
    oneOf(...PROTECT_MODES),
    'what of a consumer group is kept in spite of the limits',
  ),
  'hard-max-length': flag('<n|off>', 'off', orOff(wholeNumber(1)), 'a length that groups do not hold back'),
  'hard-max-age': flag('<duration|off>', 'off', orOff(parseDuration), 'an age that groups do not hold back'),
  'stale-group-after': flag(
    '<duration|off>',
    '7d',
    orOff(parseDuration),
    'a group without a sign of life for this long protects nothing',
  ),
  'delete-empty': toggle(
    'false',
    'unlink streams that are empty, have no group, and were last written longer ago than --max-age',
  ),
}

/**
 * Chosen by `bench/`: what others wait for grows with the page, and so does the speed where nothing is held back for them.
 * One SCAN of the gentle one takes what Redis may have at once.
 */
export const PAGE_SIZES = { gentle: 240, fast: 2000 } as const
/** Chosen by `bench/` as well: what others wait for beside a sweep; and beside writers at full speed, that these do not outrun the watch. */
export const PACES = { alone: 10, watching: 25 } as const

/** Flags of all commands and of some, in the groups the help shows. */
export const flagGroups = {
  Redis: {
    'redis-url': flag(
      '<url[,url]>',
      'redis://127.0.0.1:6379',
      asIs,
      'redis:, rediss: or unix: (REDIS_URL is read if nothing else is given)',
      { isSecret: true },
    ),
    'redis-mode': flag(
      '<standalone|cluster|sentinel>',
      'standalone',
      oneOf('standalone', 'cluster', 'sentinel'),
      'what the URLs lead to',
    ),
    'sentinel-master': flag('<name>', null, nonEmpty, 'the name sentinels know the primary by'),
    'redis-username': flag('<name>', null, nonEmpty, 'ACL user, if not in the URL', { isSecret: true }),
    'redis-password-file': flag(
      '<path>',
      null,
      asIs,
      'read again at every connection; XTRIMD_REDIS_PASSWORD works too',
    ),
    'tls-ca': flag(
      '<path>',
      null,
      readableFile,
      'certificates to trust, for rediss:; this and the next two are read again at every connection',
    ),
    'tls-cert': flag('<path>', null, readableFile, 'client certificate'),
    'tls-key': flag('<path>', null, readableFile, 'its key'),
    'tls-servername': flag('<name>', null, nonEmpty, 'the name to expect in the certificate of the server'),
    'reply-timeout': flag(
      '<duration>',
      '5s',
      parseTimer,
      'the longest that connecting, or one batch of replies, may take',
    ),
  },
  Retention: {
    match: flag('<glob>', 'stream:conversation:*', nonEmpty, "keys of the streams, in Redis's own glob"),
    ...limitFlags,
    policy: flag(
      '<spec>',
      null,
      asIs,
      "limits for other keys, as 'stream:fanout:*,max-length=100000,max-age=1h'; first match wins",
      { isRepeatable: true },
    ),
  },
  Schedule: {
    cron: flag('<pattern>', '0 * * * *', asIs, 'when to sweep: five fields, or six with seconds in front'),
    timezone: flag('<zone>', 'UTC', parseTimezone, 'the time zone of the pattern'),
    'run-on-start': toggle('true', 'sweep once at start'),
    'sweep-timeout': flag(
      '<duration|off>',
      'off',
      orOff(parseTimer),
      'a sweep that runs longer stops after the page in hand',
    ),
    'page-size': flag(
      '<n>',
      null,
      wholeNumber(1, 100_000),
      `streams in hand at a time: ${PAGE_SIZES.gentle}, or ${PAGE_SIZES.fast} at --pace 100`,
    ),
    pace: flag(
      '<percent>',
      null,
      wholeNumber(1, 100),
      `share of time in which Redis may have our work: ${PACES.alone}, or ${PACES.watching} with --watch; 100 never pauses`,
    ),
    'dry-run': toggle('false', 'look and count, write nothing'),
  },
  'Between sweeps': {
    watch: toggle('false', "hold a stream's length and bytes at its writes too, told by keyspace notifications"),
    'watch-every': flag('<n>', '100', wholeNumber(1), 'after so many writes to one stream'),
    'watch-configure': toggle('false', 'let Redis tell of writes where it does not: sets its notify-keyspace-events'),
    pressure: flag(
      '<percent|size|off>',
      'off',
      parsePressure,
      'sweep at once when used memory passes this share of maxmemory, or this size',
    ),
    'pressure-max-length': flag(
      '<n>',
      null,
      wholeNumber(1),
      'the length limit of such a sweep, where the policy allows more',
    ),
    'pressure-interval': flag('<duration>', '10s', parsePressureInterval, 'how often memory is read, at least'),
  },
  Lease: {
    lease: toggle('true', 'of several copies, only the one that holds the lease sweeps'),
    'lease-key': flag('<key>', 'xtrimd:lease', nonEmpty, 'the key that is the lease'),
    'lease-ttl': flag('<duration>', '15s', parseLeaseTtl, 'how long it lasts without being renewed'),
  },
  Telemetry: {
    'http-bind': flag(
      '<host:port>',
      '0.0.0.0:9464',
      parseBind,
      'where the status page, /metrics and the probes are; port 0 picks a free one',
    ),
    output: flag('<text|json>', 'text', oneOf('text', 'json'), 'how sweep and plan say what they found, on stdout'),
    'stream-metrics': flag(
      '<n>',
      '100',
      wholeNumber(0, 10_000),
      'how many of the longest streams get a series of their own',
    ),
    'log-level': flag(
      '<level>',
      'info',
      oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
      'trace, debug, info, warn, error, fatal or silent',
    ),
    'log-format': flag('<json|pretty>', null, oneOf('json', 'pretty'), 'json unless on a terminal'),
  },
} as const

type Groups = typeof flagGroups
type AllFlags = Groups['Redis'] &
  Groups['Retention'] &
  Groups['Schedule'] &
  Groups['Between sweeps'] &
  Groups['Lease'] &
  Groups['Telemetry']
/** A flag's name, without the dashes. */
export type FlagName = keyof AllFlags

/** What a flag's rule makes of its text. */
export type FlagValue<Name extends FlagName> = AllFlags[Name] extends Flag<infer T> ? T : never

/** All flags by their names. */
export const flags: Readonly<Record<FlagName, Flag<unknown>>> = Object.assign({}, ...Object.values(flagGroups))

/** The flag's variable: `--max-age` is `XTRIMD_MAX_AGE`. */
export function variableOf(name: string): `XTRIMD_${string}` {
  return `XTRIMD_${name.toUpperCase().replaceAll('-', '_')}`
}

/**
 * The list of flags: name, placeholder, default, parser and help text. Variables, help and the settings in logs derive from
 * it. Parsers for a single flag are in `flag_rules.ts`.
 */

import { parseFrom, parseTo } from '../entries/id_range.ts'
import { PROTECT_MODES, TRIM_MODES } from '../retention/policy.ts'
import { parseTimezone } from '../schedule/cron.ts'
import { parseEndpoint } from '../store/location.ts'
import {
  oneOf,
  orOff,
  parseDuration,
  parseDurationOrZero,
  parseSize,
  parseSwitch,
  parseTimer,
  wholeNumber,
} from '../text/quantities.ts'
import { parseBind } from './bind.ts'
import {
  asIs,
  nonEmpty,
  parseKey,
  parseLeaseTtl,
  parsePressure,
  parseReadingInterval,
  parseReapGroups,
  parseReason,
  parseSegmentSize,
  readableFile,
} from './flag_rules.ts'

/** One flag whose parsed value is a T. */
export interface Flag<T> {
  /** The placeholder for the value, such as `<duration|off>`. */
  readonly value: string
  /** As text, so that it is parsed like any value; null if the flag has no default. */
  readonly default: string | null
  /** Throws BrokenRule. */
  readonly parse: (text: string) => T
  readonly help: string
  /** A boolean: the flag without a value means true. */
  readonly isSwitch?: boolean
  readonly isRepeatable?: boolean
  /** The value may hold a password, so messages never quote it. */
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

/** Flags that a policy may set too, by the same names. */
export const limitFlags = {
  'max-length': flag('<n|off>', '1000', orOff(wholeNumber(1)), 'keep this many of the newest entries'),
  'max-age': flag('<duration|off>', '24h', orOff(parseDuration), 'remove entries older than this'),
  'max-bytes': flag('<size|off>', 'off', orOff(parseSize), 'keep entries within this memory'),
  trim: flag('<approx|exact>', 'approx', oneOf(...TRIM_MODES), 'approx may keep up to one node more'),
  protect: flag('<none|unread|unacked>', 'none', oneOf(...PROTECT_MODES), 'keep what groups have not read or acked'),
  'hard-max-length': flag('<n|off>', 'off', orOff(wholeNumber(1)), 'length limit that overrides --protect'),
  'hard-max-age': flag('<duration|off>', 'off', orOff(parseDuration), 'age limit that overrides --protect'),
  'stale-group-after': flag('<duration|off>', '7d', orOff(parseDuration), 'groups idle this long protect nothing'),
  'acked-after': flag('<duration|off>', 'off', orOff(parseDurationOrZero), 'remove what all groups acked, this old'),
  'reap-consumers-after': flag('<duration|off>', 'off', orOff(parseDuration), 'delete consumers idle this long'),
  'reap-groups': flag('<glob|off>', 'off', parseReapGroups, 'destroy dead groups of this name'),
  'reap-pending': toggle('false', 'drop references to missing entries'),
  'delete-idle': flag('<duration|off>', 'off', orOff(parseDuration), 'unlink streams not written for this long'),
  'delete-empty': toggle('false', 'unlink streams that are empty, have no group and were not written for --max-age'),
}

/** What a policy may set: its limits, and whether its entries are archived. */
export const specFlags = {
  ...limitFlags,
  archive: toggle('true', 'archive entries before removing them, where --archive is given'),
}

/** Chosen by `bench/`: larger pages are faster and make other clients wait longer. */
export const PAGE_SIZES = { gentle: 240, fast: 2000 } as const
/** Chosen by `bench/` too: alone, how long others wait beside a sweep; watching, to keep up with writers at full speed. */
export const PACES = { alone: 10, watching: 25 } as const

/** Columns by which `top` can order streams. */
export const SORTS = ['bytes', 'entries', 'growth', 'lag', 'pending'] as const

/** All flags, in the groups that the help shows. */
export const flagGroups = {
  Redis: {
    'redis-url': flag(
      '<url[,url]>',
      'redis://127.0.0.1:6379',
      asIs,
      'redis://, rediss:// or unix://; if not given, REDIS_URL is read',
      { isSecret: true },
    ),
    'redis-mode': flag(
      '<standalone|cluster|sentinel>',
      'standalone',
      oneOf('standalone', 'cluster', 'sentinel'),
      'what the URLs lead to',
    ),
    'sentinel-master': flag('<name>', null, nonEmpty, 'name of the primary in Sentinel'),
    'redis-username': flag('<name>', null, nonEmpty, 'ACL user, if the URL names none', { isSecret: true }),
    'redis-password-file': flag('<path>', null, asIs, 'file with the password in its first line'),
    'tls-ca': flag('<path>', null, readableFile, 'CA certificates to trust, for rediss://'),
    'tls-cert': flag('<path>', null, readableFile, 'client certificate'),
    'tls-key': flag('<path>', null, readableFile, 'key of the client certificate'),
    'tls-servername': flag('<name>', null, nonEmpty, "name to expect in the server's certificate"),
    'reply-timeout': flag('<duration>', '5s', parseTimer, 'deadline to connect, and of each reply'),
  },
  Retention: {
    match: flag('<glob>', 'stream:conversation:*', nonEmpty, 'streams to trim'),
    ...limitFlags,
    policy: flag('<spec>', null, asIs, "limits for other keys: 'chat:*,max-age=1h'; repeatable, the first match wins", {
      isRepeatable: true,
    }),
    'policy-file': flag('<path>', null, asIs, 'more policies, one a line, read each sweep'),
  },
  Schedule: {
    cron: flag('<pattern>', '0 * * * *', asIs, 'when to sweep; five or six fields'),
    timezone: flag('<zone>', 'UTC', parseTimezone, 'time zone of --cron'),
    'run-on-start': toggle('true', 'also sweep once at start'),
    'sweep-timeout': flag('<duration|off>', 'off', orOff(parseTimer), 'stop a sweep that takes longer'),
    'page-size': flag(
      '<n>',
      null,
      wholeNumber(1, 100_000),
      `streams per page: ${PAGE_SIZES.gentle}, or ${PAGE_SIZES.fast} at --pace 100`,
    ),
    pace: flag(
      '<percent>',
      null,
      wholeNumber(1, 100),
      `share of time Redis may work for us: ${PACES.alone}, or ${PACES.watching} with --watch; 100 never pauses`,
    ),
    'dry-run': toggle('false', 'look and count, write nothing'),
  },
  'Between sweeps': {
    watch: toggle('false', 'cap length and bytes as streams grow'),
    'watch-every': flag('<n>', '100', wholeNumber(1), 'check a stream after so many writes'),
    'watch-configure': toggle('false', 'set notify-keyspace-events if needed'),
    pressure: flag(
      '<percent|size|off>',
      'off',
      parsePressure,
      'sweep at once when used memory passes this share of maxmemory, or this size',
    ),
    'pressure-max-length': flag('<n>', null, wholeNumber(1), 'tighter length limit for such a sweep'),
    'pressure-interval': flag('<duration>', '10s', parseReadingInterval, 'read memory at least this often'),
  },
  Archive: {
    archive: flag('<url|off>', 'off', asIs, 'store entries here first: file:///path or s3://bucket/prefix'),
    'archive-s3-endpoint': flag('<url>', null, parseEndpoint, 'where an S3-compatible store is', {
      isSecret: true,
    }),
    'archive-s3-region': flag('<name>', null, nonEmpty, 'region of the bucket'),
    'archive-segment': flag('<size>', '8mb', parseSegmentSize, 'compressed size of a segment'),
    stream: flag('<key>', null, parseKey, 'stream to read, for archive cat and restore'),
    from: flag('<time|id>', null, parseFrom, 'first entry to read'),
    to: flag('<time|id>', null, parseTo, 'last entry to read'),
    'to-stream': flag('<key>', null, parseKey, 'stream to restore into'),
  },
  'Lease and pause': {
    lease: toggle('true', 'of several copies, only one sweeps'),
    'lease-key': flag('<key>', 'xtrimd:lease', nonEmpty, 'key that holds the lease'),
    'lease-ttl': flag('<duration>', '15s', parseLeaseTtl, 'how long it lasts unless renewed'),
    'pause-key': flag('<key>', 'xtrimd:pause', nonEmpty, 'no copy trims while it exists'),
    for: flag('<duration>', null, parseDuration, 'xtrimd pause: resume by itself after this'),
    reason: flag('<text>', null, parseReason, 'xtrimd pause: why, for whoever wonders'),
  },
  'For xtrimd top': {
    sort: flag('<column>', 'bytes', oneOf(...SORTS), SORTS.join(', ')),
    limit: flag('<n>', '20', wholeNumber(1, 1000), 'show this many streams'),
    interval: flag('<duration>', '2s', parseReadingInterval, 'refresh this often'),
  },
  Telemetry: {
    'http-bind': flag(
      '<host:port>',
      '0.0.0.0:9464',
      parseBind,
      'status page, /metrics and probes; port 0 picks a free port',
    ),
    output: flag('<text|json>', 'text', oneOf('text', 'json'), 'format of what commands print'),
    'stream-metrics': flag('<n>', '100', wholeNumber(0, 10_000), 'longest streams with own metric series'),
    'group-metrics': flag('<n>', '0', wholeNumber(0, 10_000), 'most lagging groups with own metric series'),
    'log-level': flag(
      '<level>',
      'info',
      oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
      'trace, debug, info, warn, error, fatal, silent',
    ),
    'log-format': flag('<json|pretty>', null, oneOf('json', 'pretty'), 'pretty on a terminal, else json'),
  },
} as const

type Groups = typeof flagGroups
type AllFlags = Groups['Redis'] &
  Groups['Retention'] &
  Groups['Schedule'] &
  Groups['Between sweeps'] &
  Groups['Archive'] &
  Groups['Lease and pause'] &
  Groups['For xtrimd top'] &
  Groups['Telemetry']
/** Without the dashes. */
export type FlagName = keyof AllFlags

/** The type of a parsed value. */
export type FlagValue<Name extends FlagName> = AllFlags[Name] extends Flag<infer T> ? T : never

/** All flags by name. */
export const flags: Readonly<Record<FlagName, Flag<unknown>>> = Object.assign({}, ...Object.values(flagGroups))

/** `--max-age` is `XTRIMD_MAX_AGE`. */
export function variableOf(name: string): `XTRIMD_${string}` {
  return `XTRIMD_${name.toUpperCase().replaceAll('-', '_')}`
}

/** A variable without a flag: every user of a machine can read the arguments of its processes. */
export const PASSWORD_VARIABLE = 'XTRIMD_REDIS_PASSWORD'

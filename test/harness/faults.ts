/** Faults of Redis, the network and the machine. docs/faults.md shows these lists as tables, and tests cause every one of them. */

import assert from 'node:assert/strict'
import { testFile } from './documents.ts'

export interface FaultRow {
  /** What happens, as the table in docs/faults.md says it. */
  readonly name: string
  /** How a sweep ends that meets it. */
  readonly result: 'success' | 'partial' | 'failed'
  /** The cause in logs and metrics; null for a success. */
  readonly cause: string | null
  /** Further facts for the table. */
  readonly note?: string
}

/** Redis or the network is down, silent or slow. */
export const REACH_FAULTS = [
  {
    name: 'it refuses connections',
    result: 'failed',
    cause: 'connect',
    note: 'the next sweep connects again, as after every fault here',
  },
  {
    name: 'its host name stops resolving',
    result: 'failed',
    cause: 'connect',
    note: 'xtrimd resolves it again for every connection',
  },
  {
    name: 'it accepts connections and never answers',
    result: 'failed',
    cause: 'timeout',
    note: 'the sweep ends after `--reply-timeout`',
  },
  { name: 'it is frozen', result: 'failed', cause: 'timeout', note: 'the same' },
  {
    name: 'it freezes in the middle of a sweep',
    result: 'failed',
    cause: 'timeout',
    note: 'the work done before is counted',
  },
  {
    name: 'its replies get lost',
    result: 'failed',
    cause: 'timeout',
    note: 'work without a reply is not counted',
  },
  { name: 'the network drops the connection silently (half-open)', result: 'failed', cause: 'timeout' },
  {
    name: 'it is killed in the middle of a sweep',
    result: 'failed',
    cause: 'connect',
    note: 'the work done before is counted',
  },
  { name: 'somebody kills the connection (`CLIENT KILL`)', result: 'failed', cause: 'connect' },
  { name: 'a reply breaks off in the middle', result: 'failed', cause: 'connect' },
  { name: 'it answers 300 ms late', result: 'success', cause: null, note: 'the sweep takes longer' },
] as const satisfies readonly FaultRow[]

/** Redis answers with an error. */
export const REFUSAL_FAULTS = [
  { name: 'it is loading its data', result: 'failed', cause: 'LOADING' },
  { name: 'a script blocks it', result: 'failed', cause: 'BUSY' },
  {
    name: 'a script blocks it in the middle of a sweep',
    result: 'failed',
    cause: 'BUSY',
    note: 'the work done before is counted',
  },
  {
    name: 'it cannot write its snapshot and refuses writes',
    result: 'failed',
    cause: 'MISCONF',
    note: 'success if there was nothing to remove',
  },
  {
    name: 'it is out of memory (`noeviction`)',
    result: 'success',
    cause: null,
    note: 'trimming frees memory, so it does not wait for the lease; producers can write again',
  },
  {
    name: 'it became a replica',
    result: 'failed',
    cause: 'READONLY',
    note: 'success if there was nothing to remove',
  },
  { name: 'it is a replica that lost its primary and serves no stale data', result: 'failed', cause: 'MASTERDOWN' },
  { name: 'it has too many clients', result: 'failed', cause: 'ERR' },
  {
    name: 'it does not have that database',
    result: 'failed',
    cause: 'ERR',
    note: 'xtrimd does not sweep database 0 instead',
  },
] as const satisfies readonly FaultRow[]

/** A stream changes during the sweep. */
export const STREAM_FAULTS = [
  { name: 'a key is deleted before its turn comes', result: 'success', cause: null },
  {
    name: 'a key stops being a stream before its turn comes',
    result: 'success',
    cause: null,
    note: 'it is skipped, `not_a_stream`',
  },
] as const satisfies readonly FaultRow[]

/** The daemon's clock differs from Redis's. */
export const CLOCK_FAULTS = [
  {
    name: "the daemon's clock is an hour ahead",
    result: 'success',
    cause: null,
    note: "Redis's clock decides what is old",
  },
  { name: "the daemon's clock is an hour behind", result: 'success', cause: null, note: 'the same' },
  { name: "the daemon's clock is set an hour ahead while it runs", result: 'success', cause: null, note: 'the same' },
  { name: "the daemon's clock is set an hour back while it runs", result: 'success', cause: null, note: 'the same' },
] as const satisfies readonly FaultRow[]

/** Login and rights. */
export const ACL_FAULTS = [
  { name: 'it requires a password and we have none', result: 'failed', cause: 'NOAUTH' },
  { name: 'the password is wrong', result: 'failed', cause: 'WRONGPASS' },
  {
    name: 'the password is rotated before its file is',
    result: 'failed',
    cause: 'WRONGPASS',
    note: 'xtrimd reads the file again for every connection',
  },
  { name: 'the ACL lacks `TIME`', result: 'failed', cause: 'NOPERM', note: 'the log names the command' },
  { name: 'the ACL lacks `SCAN`', result: 'failed', cause: 'NOPERM' },
  {
    name: 'the ACL lacks `XLEN`',
    result: 'failed',
    cause: 'NOPERM',
    note: 'log and summary name the command and what needs it',
  },
  { name: 'the ACL lacks `XRANGE`', result: 'failed', cause: 'NOPERM' },
  {
    name: 'the ACL lacks `XTRIM`, and some streams need none',
    result: 'partial',
    cause: 'NOPERM',
    note: 'failed if all of them need it',
  },
  {
    name: 'the ACL lacks some of the keys',
    result: 'partial',
    cause: 'NOPERM',
    note: 'the other streams are trimmed',
  },
] as const satisfies readonly FaultRow[]

/** TLS. A Redis without TLS takes our greeting for the start of a line, and waits for the rest. */
export const TLS_FAULTS = [
  {
    name: 'we speak TLS, and it does not',
    result: 'failed',
    cause: 'timeout',
    note: 'Redis waits for the rest of what it takes for a line',
  },
  { name: 'it speaks TLS, and we do not', result: 'failed', cause: 'connect' },
  {
    name: 'its certificate has expired',
    result: 'failed',
    cause: 'connect',
    note: 'xtrimd reads its own files again for every connection',
  },
  { name: 'its certificate is from an unknown CA', result: 'failed', cause: 'connect' },
  { name: 'its certificate is for another name', result: 'failed', cause: 'connect' },
  { name: 'it requires a client certificate and we have none', result: 'failed', cause: 'connect' },
] as const satisfies readonly FaultRow[]

export const FAULTS: readonly FaultRow[] = [
  ...REACH_FAULTS,
  ...REFUSAL_FAULTS,
  ...STREAM_FAULTS,
  ...CLOCK_FAULTS,
  ...ACL_FAULTS,
  ...TLS_FAULTS,
]

/** Faults of several servers, of streams, and of the daemon's schedule. Each has its own test. */
export interface OtherFault {
  readonly name: string
  /** How the sweep ends, as docs/faults.md says it. */
  readonly outcome: string
  readonly note?: string
  /** The test that shows it: its file and part of its title. */
  readonly shownBy: { readonly file: string; readonly title: string }
}

export const OTHER_FAULTS: readonly OtherFault[] = [
  {
    name: 'one primary of a cluster is down',
    outcome: 'partial, `connect`',
    note: 'all other primaries are swept',
    shownBy: { file: 'cluster', title: 'one primary is killed, and comes back' },
  },
  {
    name: 'one primary of a cluster is frozen',
    outcome: 'partial, `timeout`',
    note: 'the same',
    shownBy: { file: 'cluster', title: 'one primary is frozen' },
  },
  {
    name: 'most primaries of a cluster are down',
    outcome: 'failed, `CLUSTERDOWN`',
    shownBy: { file: 'cluster', title: 'without a quorum the sweep fails with CLUSTERDOWN, and nothing is touched' },
  },
  {
    name: 'some slots of a cluster have no primary',
    outcome: 'partial, `CLUSTERDOWN`',
    note: 'all other slots are swept; failed if the cluster then serves none (`cluster-require-full-coverage`)',
    shownBy: { file: 'cluster', title: 'unserved slots are reported and the others are swept' },
  },
  {
    name: 'slots or primaries of a cluster change during a sweep',
    outcome: 'partial, `MOVED`, `ASK` or `TRYAGAIN`',
    note: 'the next sweep sees what moved',
    shownBy: { file: 'cluster', title: 'if slots move during a sweep, it says so' },
  },
  {
    name: 'slots of a cluster are being moved',
    outcome: 'partial, `MOVED`, `ASK` or `TRYAGAIN`',
    note: 'the same',
    shownBy: { file: 'cluster', title: 'a stream that moves past the scan while its slot is still moving' },
  },
  {
    name: 'a primary of a cluster dies, and its replica takes over',
    outcome: 'partial or failed until then',
    note: 'then success, even if the old one held the lease',
    shownBy: { file: 'cluster', title: 'after a failover the daemon continues with the new primary' },
  },
  {
    name: 'sentinels fail over during a sweep',
    outcome: 'partial, `MOVED`, or failed as if the primary were down',
    note: 'the next sweep finds the new primary',
    shownBy: { file: 'sentinel', title: 'the replica is promoted in the middle of a sweep' },
  },
  {
    name: 'the sentinels do not know the name of the master',
    outcome: 'failed, `other`',
    shownBy: { file: 'sentinel', title: 'a master name that no sentinel knows is reported' },
  },
  {
    name: 'a stream has custom IDs',
    outcome: 'success',
    note: 'its age limit is skipped, `custom_ids`; other limits apply',
    shownBy: { file: 'sweep', title: 'a stream with custom IDs is not trimmed by age but counted' },
  },
  {
    name: 'a sweep exceeds `--sweep-timeout`',
    outcome: 'stopped, `sweep-timeout`',
    note: 'what was done is counted',
    shownBy: {
      file: 'sweep',
      title: 'a sweep that exceeds --sweep-timeout stops, fails, and reports what it did',
    },
  },
  {
    name: 'the archive is unreachable, full, too slow, denies access, or breaks off in the middle',
    outcome: 'failed, `archive`',
    note: 'nothing is removed that is not stored; partial if some of it was',
    shownBy: {
      file: 'archive_first',
      title:
        'an S3 bucket keeps what a sweep removes; a store that fails costs the sweep, and the next one tries again',
    },
  },
  {
    name: 'the archive fails, and a hard limit demands removals all the same',
    outcome: 'partial, `archive`',
    note: 'what they remove is counted in `xtrimd_entries_trimmed_unarchived_total`',
    shownBy: {
      file: 'archive_first',
      title: 'while the archive fails nothing goes but what hard limits demand, which is counted',
    },
  },
  {
    name: 'somebody pauses trimming during a sweep',
    outcome: 'stopped, `paused`',
    note: 'the page in progress is finished and counted; after the pause a sweep makes up for it',
    shownBy: { file: 'pause', title: 'of three copies none trims from one renewal later on' },
  },
  {
    name: 'the lease is lost during a sweep',
    outcome: 'stopped, `lease-lost`',
    note: 'the holder sweeps',
    shownBy: { file: 'lease', title: 'a leader frozen past its term in the middle of a sweep does not continue' },
  },
  {
    name: 'memory pressure calls for a sweep while another runs',
    outcome: 'stopped, `pressure`',
    note: 'the pressure sweep starts at once, and the stopped one runs again after it',
    shownBy: { file: 'pressure_turns', title: 'memory pressure cuts a running sweep short' },
  },
  {
    name: 'a tick comes during a sweep under memory pressure',
    outcome: 'delayed',
    note: 'it follows that sweep, unless that one covered all primaries',
    shownBy: { file: 'pressure_turns', title: 'a tick during a sweep under pressure is made up for afterwards' },
  },
  {
    name: 'a tick comes during a sweep',
    outcome: 'skipped',
    shownBy: {
      file: 'daemon',
      title: 'ticks during a sweep are skipped and counted, never queued',
    },
  },
  {
    name: 'a tick comes in a pause',
    outcome: 'skipped',
    note: 'so is the work between sweeps',
    shownBy: { file: 'pause', title: 'of three copies none trims from one renewal later on' },
  },
  {
    name: 'a tick comes while another copy holds the lease',
    outcome: 'skipped',
    note: 'the holder sweeps',
    shownBy: { file: 'lease', title: 'of three copies exactly one sweeps' },
  },
  {
    name: 'SIGTERM or SIGINT',
    outcome: 'stopped, `stop`',
    note: 'it finishes and counts the page in progress, releases the lease, and exits with 0',
    shownBy: {
      file: 'stopping',
      title: 'a sweep that is asked to stop starts no new page, and counts the pages in flight',
    },
  },
  {
    name: 'a second SIGTERM or SIGINT',
    outcome: 'the process ends at once',
    shownBy: { file: 'stopping', title: "ends a stopping daemon at once, with the signal's exit code" },
  },
]

/** Asserts that a sweep ended as the second list says. Only for faults with one possible result; it may have several causes. */
export function assertToldAs(name: string, told: object): void {
  const { result, cause = null } = told as { result?: unknown; cause?: unknown }
  const outcome = OTHER_FAULTS.find((fault) => fault.name === name)?.outcome ?? assert.fail(`no such fault: ${name}`)
  const causes: unknown[] = [...outcome.matchAll(/`([^`]+)`/g)].map(([, word]) => word)
  assert.equal(result, outcome.split(',')[0])
  assert.ok((causes.length === 0 ? [null] : causes).includes(cause), `${outcome}, but got ${cause}`)
}

/** The lists as Markdown tables, as docs/faults.md shows them. */
export function faultTable(rows: readonly FaultRow[] = FAULTS): string {
  const ends = ({ result, cause }: FaultRow) => (cause === null ? result : `${result}, \`${cause}\``)
  return table(
    ['what happens', 'how the sweep ends', ''],
    rows.map((row) => [row.name, ends(row), row.note ?? '']),
  )
}

export function otherFaultTable(rows: readonly OtherFault[] = OTHER_FAULTS): string {
  const link = ({ file }: OtherFault['shownBy']) => `[${file}](../${testFile(file)})`
  return table(
    ['what happens', 'how the sweep ends', '', 'shown in'],
    rows.map(({ name, outcome, note = '', shownBy }) => [name, outcome, note, link(shownBy)]),
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

/** What can happen to Redis, or between it and us: the README's table is this list, and the tests hold it to real faults. */

export interface FaultRow {
  /** Completes "what happens": … */
  readonly name: string
  /** How a sweep ends that meets it. */
  readonly result: 'success' | 'partial' | 'failed'
  /** What it is logged and counted under; null for a success. Several where it is chance which is met first. */
  readonly cause: string | null
}

/** Redis is away, silent or slow, or the network between is. */
export const REACH_FAULTS = [
  { name: 'it refuses connections', result: 'failed', cause: 'connect' },
  { name: 'its name does not resolve', result: 'failed', cause: 'connect' },
  { name: 'it accepts connections and never answers', result: 'failed', cause: 'timeout' },
  { name: 'it is frozen', result: 'failed', cause: 'timeout' },
  { name: 'it freezes in the middle of a sweep', result: 'failed', cause: 'timeout' },
  { name: 'its replies are lost on the way', result: 'failed', cause: 'timeout' },
  { name: 'the network drops a connection without telling (half-open)', result: 'failed', cause: 'timeout' },
  { name: 'it is killed in the middle of a sweep', result: 'failed', cause: 'connect' },
  { name: 'somebody kills the connection (`CLIENT KILL`)', result: 'failed', cause: 'connect' },
  { name: 'a reply is cut in the middle', result: 'failed', cause: 'connect' },
  { name: 'it answers 300 ms late', result: 'success', cause: null },
] as const satisfies readonly FaultRow[]

/** Redis answers, and says no. */
export const REFUSAL_FAULTS = [
  { name: 'it is loading its data', result: 'failed', cause: 'LOADING' },
  { name: 'a script blocks it', result: 'failed', cause: 'BUSY' },
  { name: 'it cannot write its snapshot and refuses writes', result: 'failed', cause: 'MISCONF' },
  { name: 'it is out of memory (`noeviction`)', result: 'success', cause: null },
  { name: 'it became a replica', result: 'failed', cause: 'READONLY' },
  { name: 'it is a replica that lost its primary and serves no stale data', result: 'failed', cause: 'MASTERDOWN' },
  { name: 'it has too many clients', result: 'failed', cause: 'ERR' },
  { name: 'it has no database of that number', result: 'failed', cause: 'ERR' },
] as const satisfies readonly FaultRow[]

/** One stream is not what it was a moment ago. */
export const STREAM_FAULTS = [
  { name: 'a key is deleted before its turn comes', result: 'success', cause: null },
  { name: 'a key is no stream any more when its turn comes', result: 'success', cause: null },
] as const satisfies readonly FaultRow[]

/** The machine of the daemon tells another time than Redis. */
export const CLOCK_FAULTS = [
  { name: "the daemon's clock is an hour ahead", result: 'success', cause: null },
  { name: "the daemon's clock is an hour behind", result: 'success', cause: null },
] as const satisfies readonly FaultRow[]

/** Who we are, and what we may do. */
export const ACL_FAULTS = [
  { name: 'it wants a password and we have none', result: 'failed', cause: 'NOAUTH' },
  { name: 'the password is wrong', result: 'failed', cause: 'WRONGPASS' },
  { name: 'the password is rotated before its file is', result: 'failed', cause: 'WRONGPASS' },
  { name: 'the ACL lacks `TIME`', result: 'failed', cause: 'NOPERM' },
  { name: 'the ACL lacks `SCAN`', result: 'failed', cause: 'NOPERM' },
  { name: 'the ACL lacks `XLEN`', result: 'failed', cause: 'NOPERM' },
  { name: 'the ACL lacks `XRANGE`', result: 'failed', cause: 'NOPERM' },
  { name: 'the ACL lacks `XTRIM`, and some streams need none', result: 'partial', cause: 'NOPERM' },
  { name: 'the ACL lacks some of the keys', result: 'partial', cause: 'NOPERM' },
] as const satisfies readonly FaultRow[]

/** Who Redis says it is. One that does not speak TLS takes our greeting for the beginning of a line, and waits for its end. */
export const TLS_FAULTS = [
  { name: 'we speak TLS, and it does not', result: 'failed', cause: 'timeout' },
  { name: 'it speaks TLS, and we do not', result: 'failed', cause: 'connect' },
  { name: 'its certificate has expired', result: 'failed', cause: 'connect' },
  { name: 'its certificate is signed by nobody we know', result: 'failed', cause: 'connect' },
  { name: 'its certificate is for another name', result: 'failed', cause: 'connect' },
  { name: 'it wants a certificate of ours and we have none', result: 'failed', cause: 'connect' },
] as const satisfies readonly FaultRow[]

export const FAULTS: readonly FaultRow[] = [
  ...REACH_FAULTS,
  ...REFUSAL_FAULTS,
  ...STREAM_FAULTS,
  ...CLOCK_FAULTS,
  ...ACL_FAULTS,
  ...TLS_FAULTS,
]

/** Draws one case of the property test from a seed: streams with their groups, and policies. */
import { Random } from './random.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const DAY = 24 * HOUR

/** An entry to add. The value is `bytes` long. */
export interface PlannedEntry {
  readonly ms: number
  readonly seq: bigint
  readonly bytes: number
}

export interface PlannedRead {
  readonly consumer: string
  readonly count: number
  readonly acked: readonly number[]
  /** Read after somebody else has trimmed the stream. */
  readonly late: boolean
}

export interface PlannedGroup {
  readonly name: string
  /** Where it starts: after the entry with this index, or at an ID. */
  readonly start: number | '0' | '$'
  /** What its consumers read and acknowledge, one after another. */
  readonly reads: readonly PlannedRead[]
  /** Extra idle time of consumers, in ms. */
  readonly idleMs: ReadonlyMap<string, number>
  /** Whether all its consumers are deleted in the end. */
  readonly deserted: boolean
}

export interface PlannedStream {
  readonly key: string
  readonly policy: number
  readonly entries: readonly PlannedEntry[]
  /** Indexes of entries that are deleted before, and after, the groups read. */
  readonly deletedFirst: readonly number[]
  readonly deletedLater: readonly number[]
  /** The length to which somebody else trims exactly, which may leave part of a node. */
  readonly trimmedTo: number | null
  readonly groups: readonly PlannedGroup[]
}

/** Limits as the model reads them; Infinity if off. */
export interface PlannedPolicy {
  readonly name: string
  readonly match: string
  readonly maxAgeMs: number
  readonly maxLength: number
  readonly maxBytes: number
  readonly trim: 'approx' | 'exact'
  readonly protect: 'none' | 'unread' | 'unacked'
  readonly hardMaxAgeMs: number
  readonly hardMaxLength: number
  readonly staleGroupAfterMs: number
  readonly ackedAfterMs: number
  readonly deleteEmpty: boolean
  readonly deleteIdleMs: number
  readonly reapConsumersAfterMs: number
  /** The names of groups that may be destroyed; `off` for none. */
  readonly reapGroups: 'off' | '*' | 'g0'
  readonly reapPending: boolean
}

/** A group that reads on between two sweeps, and acknowledges what it gets or not. */
export interface Wake {
  readonly stream: number
  readonly group: number
  readonly count: number
  readonly acknowledges: boolean
}

/** How a sweep is cut short. */
export type Interruption =
  | { readonly kind: 'cut'; readonly afterReplyBytes: number }
  | { readonly kind: 'stop'; readonly afterOutcomes: number }
  | { readonly kind: 'timeout'; readonly ms: number }

export interface Case {
  readonly seed: number
  /** `stream-node-max-entries` and `stream-node-max-bytes`. */
  readonly nodeEntries: number
  readonly nodeBytes: number
  readonly policies: readonly PlannedPolicy[]
  readonly streams: readonly PlannedStream[]
  readonly pageSize: number
  readonly interruptions: readonly Interruption[]
  /** What happens after each interrupted sweep. */
  readonly wakes: readonly Wake[]
}

/** Draws a case. `nowMs` is Redis's clock; the same seed and clock give the same case. */
export function drawCase(seed: number, nowMs: number): Case {
  const random = new Random(seed)
  const count = random.pick([1, 1, 1, 2, 3])
  const bodies = Array.from({ length: count }, () => drawEntries(random, nowMs))
  const policies = bodies.map((entries, i) => drawPolicy(random, i, entries, nowMs))
  return {
    seed,
    nodeEntries: random.pick([100, 100, 100, 10, 3, 1_000, 0]),
    nodeBytes: random.pick([4_096, 4_096, 4_096, 500, 20_000, 0]),
    policies,
    streams: bodies.map((entries, i) => drawStream(random, i, entries)),
    pageSize: random.pick([1, 4, 2_000]),
    interruptions: Array.from({ length: random.pick([0, 1, 1, 2]) }, () => drawInterruption(random)),
    wakes: Array.from({ length: random.pick([0, 0, 1, 2]) }, () => drawWake(random, count)),
  }
}

function drawEntries(random: Random, nowMs: number): PlannedEntry[] {
  const count = random.weighted(
    [1, () => random.int(0, 3)],
    [6, () => random.magnitude(4, 1_500)],
    [3, () => random.int(1, 5) * 100 + random.int(-1, 1)],
    [0.3, () => random.int(9_000, 22_000)],
  )
  const sizes = drawSizes(random, count)
  const ids = drawIds(random, count, nowMs)
  return ids.map((id, i) => ({ ...id, bytes: sizes(i) }))
}

function drawSizes(random: Random, count: number): (i: number) => number {
  // Long streams get small entries only, to keep cases fast.
  if (count > 2_000) return () => 10
  return random.weighted<(i: number) => number>(
    [5, () => () => 10],
    [2, () => () => 500],
    [1, () => () => random.magnitude(1, 3_000)],
    [1, () => () => (random.chance(0.05) ? random.magnitude(2_000, 60_000) : 20)],
    [0.5, () => (i) => (i < count / 4 ? 3_000 : 10)],
    [0.5, () => (i) => (i < count / 2 ? 10 : 3_000)],
  )
}

type PlannedId = Pick<PlannedEntry, 'ms' | 'seq'>

function drawIds(random: Random, count: number, nowMs: number): PlannedId[] {
  const ahead = random.chance(0.1) ? random.int(0, 20) * HOUR : 0
  const times = (n: number): PlannedId[] => rising(random, n, nowMs - random.magnitude(SECOND, 50 * DAY), nowMs + ahead)
  const counter = (n: number, from = 1): PlannedId[] => Array.from({ length: n }, (_, i) => ({ ms: from + i, seq: 1n }))
  return random.weighted(
    [8, () => times(count)],
    [1, () => counter(count, random.pick([1, 2, 95]))],
    [0.5, () => rising(random, count, Math.floor((nowMs - 20 * DAY) / SECOND), Math.floor(nowMs / SECOND))],
    [0.5, () => rising(random, count, (nowMs - DAY) * 1_000, nowMs * 1_000)],
    [1.5, () => [{ ms: random.int(0, 1), seq: 1n }, ...times(Math.max(0, count - 1))]],
    [0.5, () => [...counter(Math.min(count, random.int(2, 150))), ...times(Math.max(0, count - 150))]],
  )
}

/** IDs between two times, with clusters, gaps and several entries in one millisecond. */
function rising(random: Random, count: number, from: number, to: number): PlannedId[] {
  const crowd = random.pick([0, 0, 0.3, 0.9])
  const gaps = random.pick([0, 0.02, 0.2])
  const mean = Math.max(1, (to - from) / Math.max(1, count))
  const seqStep = random.pick([1n, 1n, 7n, 2n ** 55n])
  const ids: PlannedId[] = []
  let ms = from
  let seq = random.pick([0n, 1n, 9n, 2n ** 63n - 3n])
  for (let i = 0; i < count; i++) {
    if (i > 0 && random.chance(crowd) && seq + seqStep < 2n ** 64n) {
      seq += seqStep
    } else if (i > 0) {
      const step = random.chance(gaps) ? mean * 8 * random.fraction() : mean * (0.2 + random.fraction())
      ms = Math.max(ms + 1, Math.round(ms + step))
      seq = random.pick([0n, 0n, 9n, 10n])
    }
    ids.push({ ms, seq })
  }
  // Squeeze IDs beyond the end back into the range, in order.
  const last = ids.at(-1)?.ms ?? to
  if (last <= to) return ids
  const squeezed: PlannedId[] = []
  for (const id of ids) {
    const before = squeezed.at(-1)
    const placed = Math.floor(from + ((id.ms - from) * (to - from)) / (last - from))
    const isSame = before !== undefined && placed <= before.ms
    squeezed.push(isSame ? { ms: before.ms, seq: before.seq + 1n } : { ms: placed, seq: id.seq })
  }
  return squeezed.filter(({ seq }) => seq < 2n ** 64n)
}

function drawStream(random: Random, policy: number, entries: readonly PlannedEntry[]): PlannedStream {
  const count = entries.length
  return {
    key: `s${policy}:stream`,
    policy,
    entries,
    deletedFirst: random.chance(0.35) ? drawDeleted(random, count) : [],
    deletedLater: random.chance(0.15) ? drawDeleted(random, count) : [],
    trimmedTo: count > 0 && random.chance(0.2) ? random.int(1, count) : null,
    groups: Array.from({ length: random.pick([0, 0, 1, 1, 2, 3]) }, (_, i) => drawGroup(random, i, count)),
  }
}

function drawDeleted(random: Random, count: number): number[] {
  if (count === 0) return []
  const numbers = Array.from({ length: count }, (_, i) => i)
  const run = (from: number, length: number): number[] => numbers.slice(from, from + length)
  return random.weighted(
    [2, () => numbers.filter(() => random.chance(0.05))],
    [1, () => numbers.filter(() => random.chance(0.7))],
    [1, () => run(random.int(0, count - 1), random.int(1, 250))],
    [1, () => numbers.filter((i) => i % 100 >= 90)],
    [1, () => run(0, random.int(1, 120))],
    [1, () => numbers.slice(-random.int(1, 5))],
    [0.3, () => numbers],
  )
}

function drawGroup(random: Random, number: number, count: number): PlannedGroup {
  const reads = Array.from({ length: random.pick([0, 1, 1, 2, 4]) }, () => {
    const read = random.magnitude(1, Math.max(1, count))
    const share = random.pick([0, 0.5, 0.95, 1, 1])
    const acked = Array.from({ length: read }, (_, i) => i).filter(() => random.chance(share))
    return { consumer: `consumer<${number}.${random.int(1, 2)}>`, count: read, acked, late: random.chance(0.3) }
  })
  const idle = random.chance(0.6) ? [...new Set(reads.map(({ consumer }) => consumer))] : []
  return {
    name: `g${number}`,
    start: random.weighted<number | '0' | '$'>(
      [4, () => '0'],
      [1, () => '$'],
      [2, () => random.int(0, Math.max(0, count - 1))],
    ),
    reads,
    idleMs: new Map(idle.map((consumer) => [consumer, random.pick([2 * HOUR, 8 * DAY])])),
    deserted: random.chance(0.15),
  }
}

function drawWake(random: Random, streams: number): Wake {
  return {
    stream: random.int(0, streams - 1),
    group: random.int(0, 2),
    count: random.magnitude(1, 300),
    acknowledges: random.chance(0.5),
  }
}

function drawPolicy(random: Random, number: number, entries: readonly PlannedEntry[], nowMs: number): PlannedPolicy {
  const off = Number.POSITIVE_INFINITY
  const drawn = {
    maxAgeMs: random.chance(0.6) ? drawAge(random, entries, nowMs) : off,
    maxLength: random.chance(0.6) ? drawLength(random, entries.length) : off,
    maxBytes: random.chance(0.3) ? drawBytes(random, entries) : off,
    hardMaxAgeMs: random.chance(0.2) ? drawAge(random, entries, nowMs) : off,
    hardMaxLength: random.chance(0.2) ? drawLength(random, entries.length) : off,
  }
  const isNone = Object.values(drawn).every((limit) => limit === off)
  // The program rejects hard limits that are tighter than the plain ones.
  const limits = {
    ...drawn,
    ...(isNone ? { maxLength: drawLength(random, entries.length) } : {}),
    hardMaxAgeMs: drawn.maxAgeMs === off ? drawn.hardMaxAgeMs : Math.max(drawn.maxAgeMs, drawn.hardMaxAgeMs),
    hardMaxLength: drawn.maxLength === off ? drawn.hardMaxLength : Math.max(drawn.maxLength, drawn.hardMaxLength),
  }
  const staleGroupAfterMs = random.pick([off, HOUR, 7 * DAY, 7 * DAY, 100 * DAY])
  return {
    name: `p${number}`,
    match: `s${number}:*`,
    ...limits,
    ...drawReaping(random, entries, nowMs),
    // Without an age no group is ever dead, and the program rejects this.
    reapGroups: staleGroupAfterMs === off ? 'off' : random.pick(['off', '*', '*', 'g0']),
    trim: random.pick(['approx', 'exact']),
    protect: random.pick(['none', 'none', 'unread', 'unacked', 'unacked']),
    staleGroupAfterMs,
    // A size limit comes first, and depends on nodes that the model does not know.
    ackedAfterMs:
      limits.maxBytes === off && random.chance(0.4) ? (random.chance(0.5) ? 0 : drawAge(random, entries, nowMs)) : off,
    deleteEmpty: limits.maxAgeMs !== off && random.chance(0.5),
  }
}

/** Consumers have been idle for less than a minute, for two hours, or for eight days. */
function drawReaping(random: Random, entries: readonly PlannedEntry[], nowMs: number) {
  const off = Number.POSITIVE_INFINITY
  return {
    reapConsumersAfterMs: random.pick([off, HOUR, DAY, DAY]),
    reapPending: random.chance(0.5),
    deleteIdleMs: random.chance(0.4) ? (random.chance(0.5) ? HOUR : drawAge(random, entries.slice(-1), nowMs)) : off,
  }
}

/** Usually close to the age of some entry, so that the cut-off falls among them. */
function drawAge(random: Random, entries: readonly PlannedEntry[], nowMs: number): number {
  const { ms } = entries.length > 0 ? random.pick(entries) : { ms: nowMs - HOUR }
  // Often enough the whole stream must go.
  if (random.chance(0.15)) return random.magnitude(1, SECOND)
  const age = nowMs - ms + random.pick([0, 1, 50, -50, SECOND, -SECOND, HOUR])
  return age >= 1 && age <= 36_500 * DAY && random.chance(0.9) ? age : random.magnitude(1, 60 * DAY)
}

function drawLength(random: Random, count: number): number {
  const length = random.weighted(
    [1, () => random.int(1, 3)],
    [4, () => random.int(1, Math.max(1, count))],
    [2, () => count - random.magnitude(1, 150)],
    [1, () => count + random.int(0, 10)],
    [1, () => random.pick([50, 100, 1_000])],
  )
  return Math.max(1, length)
}

function drawBytes(random: Random, entries: readonly PlannedEntry[]): number {
  const total = entries.reduce((sum, { bytes }) => sum + bytes + 10, 600)
  return Math.max(
    1,
    Math.round(total * random.pick([0.02, 0.2, 0.5, 0.8, 0.95, 1.2]) * (0.8 + 0.4 * random.fraction())),
  )
}

function drawInterruption(random: Random): Interruption {
  return random.weighted<Interruption>(
    [7, () => ({ kind: 'cut', afterReplyBytes: random.magnitude(20, 20_000) })],
    [2, () => ({ kind: 'stop', afterOutcomes: random.int(0, 2) })],
    [1, () => ({ kind: 'timeout', ms: random.int(1, 8) })],
  )
}

/** What each limit means for one stream, in sentences. */
import type { Explanation, StreamExplained } from '../explain/explain.ts'
import type { Finding } from '../explain/findings.ts'
import { isOff, limitTexts } from '../phrases/limits.ts'
import { counted } from '../text/counted.ts'
import { roundSize } from '../text/quantities.ts'

type LimitFlag = keyof ReturnType<typeof limitTexts>

/** One limit, or one mode, of the policy that holds a stream. */
export interface LimitVerdict {
  readonly limit: string
  /** As its flag accepts it. */
  readonly value: string | boolean
  /** `policy`, `flag`, `default`, or the variable that set it. */
  readonly from: string
  /** Entries beyond it, or bytes for `max-bytes`; null where there are none to count. */
  readonly over: number | null
  /** Entries that the next sweep removes for it; null where it removes none by itself. */
  readonly removes: number | null
  /** Null for a limit that is off, and for a mode. */
  readonly verdict: string | null
}

/** The limits and modes of the policy by flag, each with what it means for the stream. */
export function verdictsOn(stream: StreamExplained): LimitVerdict[] {
  const { policy, findings } = stream
  if (policy === null) return []
  return Object.entries(limitTexts(policy)).map(([limit, value]) => {
    const finding = findings.find((one) => one.limit === limit)
    return {
      limit,
      value,
      from: policy.origin.limits[limit] ?? 'default',
      over: finding?.over ?? null,
      removes: finding?.removes ?? null,
      verdict: finding === undefined ? otherVerdict(limit, stream) : verdictOf(finding, stream),
    }
  })
}

/** What the explanation says first: where it failed, why; else which policy holds the stream, and why that one. */
export function reasonFor({ message, stream }: Explanation): string {
  if (stream === null) return message ?? ''
  const { policy, passed } = stream
  const globs = passed.map(({ name, match }) => (name === match ? match : `${match} (${name})`))
  if (policy === null) return `no policy covers it: its key matches none of ${globs.join(', ')}`
  const name = policy.name === policy.match ? policy.name : `${policy.name} (${policy.match})`
  const before = globs.length === 0 ? '' : `; ${globs.join(', ')} came first and did not match`
  return `policy ${name}, ${madeBy(policy.origin.policy, policy.origin.limits)}: the first whose glob matches${before}`
}

/** Where the text of a policy came from. A plain `--match` has no limits of its own. */
function madeBy(from: string, limits: Readonly<Record<string, string>>): string {
  if (from === 'default') return 'the default of --match'
  const isSpec = Object.values(limits).includes('policy')
  return `from ${from === 'flag' ? (isSpec ? '--policy' : '--match') : from}`
}

function otherVerdict(limit: string, { policy, stays, nextSweep }: StreamExplained): string | null {
  if (policy === null || nextSweep === null || isOff(limitTexts(policy)[limit as LimitFlag])) return null
  const { consumers, groups, pending, streams } = nextSweep.reap
  const deletes = (n: number, one: string, many: string): string =>
    n === 0 ? `no ${one} to reap` : `the next sweep reaps ${counted(n, one, many)}`
  switch (limit) {
    case 'reap-consumers-after':
      return deletes(consumers, 'consumer', 'consumers')
    case 'reap-groups':
      return deletes(groups, 'group', 'groups')
    case 'reap-pending':
      return deletes(pending, 'reference', 'references')
    case 'delete-empty':
    case 'delete-idle':
      if (streams > 0) return 'the next sweep unlinks the stream'
      return stays[limit] === null ? null : `the stream stays: ${stays[limit]}`
    default:
      return null
  }
}

function verdictOf(finding: Finding, stream: StreamExplained): string {
  const { limit, over, removes } = finding
  switch (limit) {
    case 'max-age':
    case 'hard-max-age':
      if (over === null) return 'its IDs are not times, so no age limit applies'
      return over === 0 ? 'no entry is older' : `${were(over, 'older')}; ${action(finding, stream)}`
    case 'max-bytes':
      if (over === null) return 'the ACL forbids MEMORY USAGE, which would tell its size'
      if (over === 0) return `its entries take ${roundSize(stream.bytes ?? 0)}`
      return `its entries take ${roundSize(over)} too much; ${removes === 0 ? 'other limits or groups leave nothing to remove' : `the next sweep removes about ${counted(removes, 'entry', 'entries')} for it`}`
    case 'acked-after':
      return removes === 0
        ? 'no entry that every living group has acknowledged is left to remove'
        : `the next sweep removes ${about(stream)}${counted(removes, 'entry', 'entries')} that every living group has acknowledged`
    default:
      return over === 0
        ? `${counted(stream.length, 'entry', 'entries')}, inside the limit`
        : `${were(over ?? 0, 'too many')}; ${action(finding, stream)}`
  }
}

function were(n: number, what: string): string {
  return `${counted(n, 'entry is', 'entries are')} ${what}`
}

/** What the next sweep does about entries beyond a limit, and why it leaves some. */
function action({ limit, over, removes, removedBefore, rest }: Finding, stream: StreamExplained): string {
  const all = over === removes + removedBefore
  const it = over === 1 ? 'it' : 'them'
  const gone = removes + removedBefore
  const how = removedBefore === 0 ? '' : removes === 0 ? ' by age' : `, ${about(stream)}${removedBefore} of them by age`
  const holder = stream.nextSweep?.hold?.group ?? stream.groups.find(({ holdsBack }) => holdsBack)?.name
  const kept = limit.endsWith('age') ? 'younger' : 'newer'
  if (all) return `the next sweep removes ${it}${how}`
  const removal = gone === 0 ? 'the next sweep removes none' : `the next sweep removes ${about(stream)}${gone}${how}`
  if (rest === 'held' && holder !== undefined)
    return `${removal}, group ${holder} needs ${gone === 0 ? it : 'the rest'}`
  return gone === 0
    ? `${removal}, ${over === 1 ? 'it shares' : 'they share'} a node with ${kept} ones`
    : `${removal}, the rest shares a node with ${kept} ones`
}

function about({ nextSweep }: StreamExplained): string {
  return nextSweep?.isExact === false ? 'about ' : ''
}

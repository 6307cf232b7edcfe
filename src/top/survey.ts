/** One pass over all streams, which finds those that lead by one column. */
import type { FlagValue } from '../flags/flags.ts'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Missing, Refused } from '../redis/refused.ts'
import { type Glob, type Policy, policyFor } from '../retention/policy.ts'
import { type Verdict, verdictOn, verdictOnStreams } from '../sweep/verdict.ts'
import { countRefusal } from '../tally/tally.ts'
import { type WalkTask, walk } from '../walk/walk.ts'
import type { Best } from './best.ts'
import { type Figure, type Figures, readFigures } from './figures.ts'
import type { LengthSample } from './length_sample.ts'

export type Sort = FlagValue<'sort'>

/** A stream that may be among the first. */
export interface Candidate {
  readonly key: Buffer
  readonly policy: string
  readonly address: Address
}

/** What a pass found out besides the candidates. */
export interface Survey extends Verdict {
  /** Those that Redis refused to show are counted too. */
  readonly streams: number
  readonly addresses: readonly Address[]
}

export interface SurveyTask extends WalkTask {
  /** Only streams whose keys match; null for all of them. */
  readonly narrow: Glob | null
  readonly missing: Missing
}

const FIGURE_FOR: Readonly<Record<Sort, Figure>> = {
  bytes: 'bytes',
  entries: 'length',
  growth: 'length',
  lag: 'groups',
  pending: 'groups',
}

/** Offers every stream to `best`, by the column. For growth it compares with the lengths of the pass before. */
export async function survey(
  task: SurveyTask,
  sort: Sort,
  best: Best<Candidate>,
  lengths: LengthSample,
  stop: AbortSignal,
): Promise<Survey> {
  const { policies, narrow, missing } = task
  const addresses = new Map<string, Address>()
  let streams = 0
  const errors: Record<string, number> = {}
  const refusals = new Map<string, string>()
  const refuse = ({ refusal, command }: Refused): void => {
    streams++
    countRefusal({ word: refusal.word, command, message: refusal.message }, errors, refusals)
  }
  const walked = await walk(
    task,
    stop,
    ({ ask, address, haveSlots, mostAtOnce }) => {
      addresses.set(formatAddress(address), address)
      const way = { hasScripts: true, haveSlots, mostAtOnce, missing, refuse }
      const asked = [...new Set<Figure>(['length', FIGURE_FOR[sort]])]
      return {
        page: async (keys) => {
          const covered = keys.filter((key) => policyFor(policies, key) >= 0 && narrow?.matches(key) !== false)
          if (covered.length === 0) return
          const figures = await readFigures(ask, covered, asked, way)
          covered.forEach((key, i) => {
            const own = figures[i]
            if (!own) return
            streams++
            const { name } = policies[policyFor(policies, key)] as Policy
            best.offer(scoreOf(own, sort, key, lengths), { key, policy: name, address })
          })
        },
      }
    },
    missing,
  )
  const broken = verdictOn(walked)
  if (broken === null && sort === 'growth') lengths.endPass()
  return { ...(broken ?? verdictOnStreams({ errors, streams }, refusals)), streams, addresses: [...addresses.values()] }
}

function scoreOf({ length, bytes, groups }: Figures, sort: Sort, key: Buffer, lengths: LengthSample): number {
  const entries = length ?? 0
  switch (sort) {
    case 'bytes':
      return bytes ?? entries
    case 'entries':
      return entries
    case 'growth':
      return lengths.grownTo(key, entries)
    case 'lag':
      return groups?.lag ?? 0
    case 'pending':
      return groups?.pending ?? 0
  }
}

/** What the figures of a plan call for, in sentences. */
import { counted } from '../text/counted.ts'
import { NODE_BYTES, NODE_ENTRIES } from './bites.ts'
import type { Policy } from './policy.ts'

/** What of one policy's plan advice is drawn from. */
export interface Figures {
  readonly streams: number
  readonly emptyStreams: number
  readonly oneEntryStreams: number
  readonly protectedStreams: number
  readonly staleGroupStreams: number
  readonly customIdStreams: number
}

/** Below this number of streams, what their nodes cost is not worth a word. */
const MANY_STREAMS = 1000

/** Sentences about one policy, none where there is nothing to say. */
export function adviceFor(policy: Policy, figures: Figures): string[] {
  const { name, deleteEmpty, maxLength, trim, maxAgeMs } = policy
  const advice: string[] = []
  const say = (sentence: string): void => {
    advice.push(`${name}: ${sentence}`)
  }
  if (figures.oneEntryStreams >= MANY_STREAMS && figures.oneEntryStreams * 2 > figures.streams) {
    say(
      `${figures.oneEntryStreams} streams hold one entry and take about ${NODE_BYTES / 1024} KB each all the same, since Redis allocates a whole node: a smaller stream-node-max-bytes makes new ones cheaper, a shorter --max-age with --delete-empty removes them`,
    )
  }
  if (trim === 'approx' && maxLength < NODE_ENTRIES) {
    say(
      `--max-length ${maxLength} is less than a node of ${NODE_ENTRIES} entries, which approx removes whole: up to ${maxLength + NODE_ENTRIES} may stay; --trim exact keeps not one more`,
    )
  }
  if (!deleteEmpty && figures.emptyStreams > 0 && Number.isFinite(maxAgeMs)) {
    say(
      `${counted(figures.emptyStreams, 'stream is', 'streams are')} empty; --delete-empty would unlink those without a group that were last written longer ago than --max-age`,
    )
  }
  if (figures.protectedStreams > 0) {
    say(
      `a group holds ${counted(figures.protectedStreams, 'stream', 'streams')} back; an abandoned one is removed with XGROUP DESTROY, and --hard-max-length bounds what any may hold`,
    )
  }
  if (figures.staleGroupStreams > 0) {
    say(
      `${counted(figures.staleGroupStreams, 'stream has', 'streams have')} a group that has been dead for --stale-group-after: it protects nothing, and XGROUP DESTROY removes it`,
    )
  }
  if (figures.customIdStreams > 0 && !Number.isFinite(maxLength)) {
    say(
      `${counted(figures.customIdStreams, 'stream has', 'streams have')} IDs that are no times, so --max-age does not hold them: give a --max-length`,
    )
  }
  return advice
}

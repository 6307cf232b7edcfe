/** One line on a terminal that tells how far a sweep is. */
import { sumOf, type Tally } from '../sweep/tally.ts'

const REFRESH_MS = 100

/** Draws over its own line as the sweep gets on; `clear` takes the line away again. */
export function makeProgressLine(write: (text: string) => void): { update: (tally: Tally) => void; clear: () => void } {
  const start = performance.now()
  let drawnAt = 0
  return {
    update(tally) {
      const now = performance.now()
      if (now - drawnAt < REFRESH_MS) return
      drawnAt = now
      const { streams, removed } = sumOf(tally.policies)
      const perSecond = Math.round(streams / Math.max(0.001, (now - start) / 1000))
      write(
        `\r\x1b[K${streams} streams, ${perSecond}/s, ${removed.age + removed.length + removed.bytes} entries removed`,
      )
    },
    clear() {
      if (drawnAt > 0) write('\r\x1b[K')
    },
  }
}

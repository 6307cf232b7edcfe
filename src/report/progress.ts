/** One line on a terminal that tells how far a sweep is. */
import { sumOf, type Tally } from '../sweep/tally.ts'
import type { Extent } from '../sweep/walk.ts'

const REFRESH_MS = 100
const BAR = 20

/** Told how far a sweep is, as it gets on. */
export interface ProgressLine {
  readonly extent: Extent
  readonly update: (tally: Tally) => void
  /** Takes the line away again. */
  readonly clear: () => void
}

/** Draws over its own line as the sweep gets on. */
export function makeProgressLine(write: (text: string) => void): ProgressLine {
  const start = performance.now()
  let drawnAt = 0
  let expected = 0
  let visited = 0
  return {
    extent: {
      expect: (keys) => {
        expected += keys
      },
      visit: (keys) => {
        visited += keys
      },
    },
    update(tally) {
      const now = performance.now()
      if (now - drawnAt < REFRESH_MS) return
      drawnAt = now
      const { streams, removed } = sumOf(tally.policies)
      const perSecond = Math.round(streams / Math.max(0.001, (now - start) / 1000))
      const told = `${streams} streams, ${perSecond}/s, ${removed.age + removed.length + removed.bytes} removed`
      write(`\r\x1b[K${expected > 0 ? `${bar(visited / expected)} ` : ''}${told}`)
    },
    clear() {
      if (drawnAt > 0) write('\r\x1b[K')
    },
  }
}

/** An estimate, and said to be one: SCAN goes through the keys, and how many there are changes meanwhile. */
function bar(share: number): string {
  const done = Math.min(1, share)
  const filled = Math.round(done * BAR)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] about ${Math.round(done * 100)} %,`
}

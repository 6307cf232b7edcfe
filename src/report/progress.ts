/** One line on a terminal that shows how far a sweep or a plan has come. */
import { counted } from '../text/counted.ts'
import type { Extent, Progress } from '../walk/walk.ts'

const REFRESH_MS = 100
/** The bar takes what the figures leave of the line. */
const BAR = { least: 5, most: 20 }

/** Told how far a sweep is, as it gets on. */
export interface ProgressLine {
  readonly extent: Extent
  readonly update: (soFar: () => Progress) => void
  /** Takes the line away again. */
  readonly clear: () => void
}

/** Draws over its own line, of at most `columns` columns. `verb` says what became of entries: `removed`, or `to remove`. */
export function makeProgressLine(
  write: (text: string) => void,
  columns: number,
  verb: 'removed' | 'to remove',
): ProgressLine {
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
    update(soFar) {
      const now = performance.now()
      if (now - drawnAt < REFRESH_MS) return
      drawnAt = now
      const { streams, removed } = soFar()
      const perSecond = Math.round(streams / Math.max(0.001, (now - start) / 1000))
      const done = expected > 0 ? Math.min(1, visited / expected) : null
      // An estimate, and said to be one: SCAN goes through the keys, and how many there are changes meanwhile.
      const all = done === null ? '' : `, about ${Math.round(done * 100)} % of ${counted(expected, 'key', 'keys')}`
      const told = `${counted(streams, 'stream', 'streams')}${all}, ${perSecond}/s, ${removed} ${verb}`
      // In the last column a terminal would go on to the next line.
      const line = `${done === null ? '' : bar(done, columns - 1 - told.length)}${told}`
      write(`\r\x1b[K${line.slice(0, columns - 1)}`)
    },
    clear() {
      if (drawnAt > 0) write('\r\x1b[K')
    },
  }
}

/** A bar and a space within so many columns; nothing where they are too few. */
function bar(done: number, columns: number): string {
  const width = Math.min(BAR.most, columns - 3)
  if (width < BAR.least) return ''
  const filled = Math.round(done * width)
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `
}

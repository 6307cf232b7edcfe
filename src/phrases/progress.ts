/** The progress line that a sweep or a plan shows on a terminal. */
import { counted } from '../text/counted.ts'
import type { Extent, Progress } from '../walk/walk.ts'

const REFRESH_MS = 100
/** Columns of the bar; the figures come first, and a bar that would be shorter than `min` is left out. */
const BAR_COLUMNS = { min: 5, max: 20 }

export interface ProgressLine {
  /** Counts the keys that the sweep expects and has visited. */
  readonly extent: Extent
  readonly update: (soFar: () => Progress) => void
  /** Erases the line. */
  readonly clear: () => void
}

/** Redraws its line, of at most `columns` columns. `verb` says what became of the entries: `removed`, or `to remove`. */
export function makeProgressLine(
  write: (text: string) => void,
  columns: number,
  verb: 'removed' | 'to remove',
): ProgressLine {
  const start = performance.now()
  let drawnAt = Number.NEGATIVE_INFINITY
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
      // Only an estimate: the number of keys changes while SCAN goes through them.
      const share = done === null ? '' : `, about ${Math.round(done * 100)} % of ${counted(expected, 'key', 'keys')}`
      const figures = `${counted(streams, 'stream', 'streams')}${share}, ${perSecond}/s, ${removed} ${verb}`
      // Leave the last column free: a terminal wraps when it is used.
      const line = `${done === null ? '' : bar(done, columns - 1 - figures.length)}${figures}`
      write(`\r\x1b[K${line.slice(0, columns - 1)}`)
    },
    clear() {
      if (Number.isFinite(drawnAt)) write('\r\x1b[K')
    },
  }
}

/** A bar and a space in at most `columns` columns, or nothing if they are too few. */
function bar(done: number, columns: number): string {
  const width = Math.min(BAR_COLUMNS.max, columns - 3)
  if (width < BAR_COLUMNS.min) return ''
  const filled = Math.round(done * width)
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `
}

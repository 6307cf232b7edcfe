/** The live table: passes in the background, a refresh every interval, and keys. */
import { sleep } from '../walk/stoppable.ts'
import { Screen, type Terminal } from './screen.ts'
import type { Sort } from './survey.ts'
import { Top, type TopTask, type TopView } from './top.ts'

/** The keys that order by a column. */
export const SORT_KEYS: Readonly<Record<string, Sort>> = {
  b: 'bytes',
  e: 'entries',
  g: 'growth',
  l: 'lag',
  p: 'pending',
}
const QUIT_KEYS = ['q', 'Q', '\x03']

/** A pass looks at every stream, so it comes seldom: this long after the one before, and at most a fifth of the time. */
const PASS_EVERY_MS = 30_000
const REST_FOR_EACH_PASS = 4
const PROGRESS_EVERY_MS = 250

/** How far the pass in progress is; null if it does not know how many keys there are. */
export interface Going {
  readonly share: number | null
}

/**
 * Shows the table until a key or `stop` ends it. `lines` says what to show of a view; `going` is null unless the first pass,
 * or one for another column, is in progress.
 */
export async function liveTop(
  task: TopTask,
  terminal: Terminal,
  lines: (view: TopView, going: Going | null, size: { columns: number; rows: number }) => readonly string[],
  stop: AbortSignal,
  atExit: (undo: () => void) => void,
): Promise<void> {
  const quit = new AbortController()
  const ending = AbortSignal.any([stop, quit.signal])
  const screen = new Screen(terminal)
  let going: { expected: number; visited: number } | null = null
  /** Ends the pass or the rest in progress, so that one for another column begins. */
  let turn = new AbortController()
  const extent = {
    expect: (keys: number) => {
      if (going !== null) going.expected += keys
    },
    visit: (keys: number) => {
      if (going !== null) going.visited += keys
    },
  }
  const top = new Top({ ...task, extent })
  const draw = (): void => {
    const share = going === null || going.expected === 0 ? null : Math.min(1, going.visited / going.expected)
    const size = { columns: terminal.columns(), rows: terminal.rows() }
    screen.draw(lines(top.view, going === null ? null : { share }, size))
  }
  const onKey = (key: string): void => {
    if (QUIT_KEYS.includes(key)) quit.abort()
    const sort = SORT_KEYS[key.toLowerCase()]
    if (sort === undefined || sort === top.sort) return
    top.sort = sort
    turn.abort()
    draw()
  }

  const pass = async (isAwaited: boolean): Promise<void> => {
    going = isAwaited ? { expected: 0, visited: 0 } : null
    draw()
    await top.survey(AbortSignal.any([ending, turn.signal]))
    going = null
    await top.refresh(ending)
    draw()
  }
  const passes = async (): Promise<void> => {
    for (let before: Sort | null = null; !ending.aborted; ) {
      const start = performance.now()
      turn = new AbortController()
      const isNew = before !== top.sort
      before = top.sort
      await pass(isNew)
      // Growth shows only against the lengths of the pass before.
      const needsAnother = isNew && before === 'growth'
      const tookMs = performance.now() - start
      const restMs = needsAnother ? task.intervalMs : Math.max(PASS_EVERY_MS, REST_FOR_EACH_PASS * tookMs)
      await sleep(restMs, AbortSignal.any([ending, turn.signal]))
    }
  }
  const refreshes = async (): Promise<void> => {
    while (!ending.aborted) {
      await sleep(task.intervalMs, ending)
      if (ending.aborted) return
      if (going === null) await top.refresh(ending)
      draw()
    }
  }

  /** However long the interval is, a pass that somebody waits for shows how far it is. */
  const progress = async (): Promise<void> => {
    while (!ending.aborted) {
      await sleep(PROGRESS_EVERY_MS, ending)
      if (going !== null) draw()
    }
  }

  atExit(() => screen.close())
  screen.open(onKey)
  terminal.onResize(draw)
  try {
    await Promise.all([passes(), refreshes(), progress()])
  } finally {
    screen.close()
  }
}

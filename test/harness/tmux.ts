/** A terminal in tmux: types keys into it and reads its screen. */

import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { waitUntil } from './waiting.ts'

export interface Terminal {
  /** Keys by their tmux names, such as `Enter` or `C-c`. Anything else is typed literally. */
  type(...keys: string[]): Promise<void>
  /** The lines on the screen. A line that wraps is still one line. */
  lines(): Promise<string[]>
  /** Gives it another size. */
  resize(columns: number, rows: number): Promise<void>
  /** Waits until the screen shows this. @returns its lines */
  waitFor(what: RegExp): Promise<string[]>
}

/** Each look starts a process. */
const LOOK_EVERY_MS = 100

let terminals = 0

/** Opens a terminal of 80 columns with a shell that has only this environment. */
export async function openTerminal(t: TestContext, env: Readonly<Record<string, string>> = {}): Promise<Terminal> {
  const name = `xtrimd-${process.pid}-${++terminals}`
  const tmux = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('tmux', ['-L', name, '-f', '/dev/null', ...args], { env: { PATH: process.env.PATH } }))
      .stdout
  const told = Object.entries({ PATH: process.env.PATH, TERM: 'screen', PS1: '$ ', ...env })
  const shell = [
    'env',
    '-i',
    ...told.map(([variable, value]) => `${variable}=${value}`),
    'bash',
    '--norc',
    '--noprofile',
  ]
  await tmux('-u', 'new-session', '-d', '-x', '80', '-y', '60', ...shell)
  t.after(() => tmux('kill-server').catch(() => {}))
  const lines = async (): Promise<string[]> =>
    (await tmux('capture-pane', '-p', '-J')).split('\n').map((line) => line.trimEnd())
  return {
    async type(...keys) {
      await tmux('send-keys', ...keys)
    },
    lines,
    async resize(columns, rows) {
      await tmux('resize-window', '-x', String(columns), '-y', String(rows))
    },
    async waitFor(pattern) {
      let seen: string[] = []
      const shows = async (): Promise<boolean> => {
        seen = await lines()
        return pattern.test(seen.join('\n'))
      }
      const what = `${pattern} on the terminal`
      try {
        await waitUntil(shows, { timeoutMs: 60_000, what, everyMs: LOOK_EVERY_MS })
      } catch (error) {
        throw new Error(`${(error as Error).message}, which shows:\n${seen.join('\n').trimEnd()}`, { cause: error })
      }
      return seen
    },
  }
}

/** A person's terminal, by tmux: what is typed into it, and what then stands on it. */

import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { waitUntil } from './waiting.ts'

export interface Terminal {
  /** Keys as tmux names them, such as `Enter` or `C-c`; whatever is no name is typed as it is. */
  type(...keys: string[]): Promise<void>
  /** The lines that stand on it. What did not fit a row, and so goes on in the next, is one line. */
  lines(): Promise<string[]>
  /** Waits until something stands on it. @returns its lines then */
  waitFor(what: RegExp): Promise<string[]>
}

let terminals = 0

/** Opens a terminal of 80 columns with a shell that is told of nothing but this environment. */
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
    async waitFor(what) {
      let seen: string[] = []
      const stands = async (): Promise<boolean> => {
        seen = await lines()
        return what.test(seen.join('\n'))
      }
      await waitUntil(stands, { timeoutMs: 60_000, what: `${what} to stand on the terminal` })
      return seen
    },
  }
}

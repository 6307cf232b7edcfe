/** Runs a command in a terminal, and takes a picture of the screen: util-linux's `script` is the terminal, xterm.js draws it. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import type { Browser } from 'playwright-core'
import { withoutOurs } from './environment.ts'

const COLUMNS = 80

/** Where a program that had the terminal to itself gives it back. */
const OWN_SCREEN = '\x1b[?1049l'

/** A command, and how it is shown. */
export interface Shown {
  /** What a person would type. */
  readonly typed: string
  /** What is run. */
  readonly words: readonly string[]
  /** Keys to send, and how long after the start in ms. */
  readonly keys?: readonly (readonly [afterMs: number, keys: string])[]
  /** Only the lines before the first that begins like this are shown. */
  readonly until?: string
}

/** @returns all that the command wrote to its terminal, until it gave the terminal back. @throws if it does not end */
async function recorded({ words, keys = [] }: Shown, rows: number): Promise<string> {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const command = `stty cols ${COLUMNS} rows ${rows} -echo; ${quoted}`
  const running = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...withoutOurs(), TERM: 'xterm-256color', SHELL: '/bin/bash' },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 120_000,
  })
  let written = ''
  running.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text
  })
  const ended = once(running, 'close')
  const started = performance.now()
  for (const [afterMs, typed] of keys) {
    await pause(Math.max(0, started + afterMs - performance.now()))
    running.stdin.write(typed)
  }
  await ended
  return written.split(OWN_SCREEN)[0] ?? ''
}

const read = (path: string): string => readFileSync(createRequire(import.meta.url).resolve(path), 'utf8')

/** @returns a PNG of the screen, as high as what is shown on it */
export async function takeTerminal(browser: Browser, shown: Shown, mostRows = 60): Promise<Uint8Array> {
  const written = await recorded(shown, mostRows)
  const isFullScreen = written.includes('\x1b[?1049h')
  const prompt = isFullScreen ? '' : `\x1b[32m$\x1b[0m ${shown.typed}\r\n`
  const text = shown.until === undefined ? written : (written.split(new RegExp(`^${shown.until}`, 'm'))[0] ?? '')
  const page = await browser.newPage({ viewport: { width: 900, height: 1400 }, deviceScaleFactor: 1.5 })
  await page.setContent(`<style>${read('@xterm/xterm/css/xterm.css')}
    body { margin: 0 } #frame { display: inline-block; padding: 14px 18px; background: #1b1f24; border-radius: 8px }
    .xterm-viewport { overflow: hidden !important }</style><div id="frame"><div id="screen"></div></div>`)
  await page.addScriptTag({ content: read('@xterm/xterm') })
  // The function runs in the page.
  await page.evaluate(
    async ({ text, columns, mostRows, isFullScreen }) => {
      interface Drawn {
        readonly buffer: { readonly active: { readonly baseY: number; readonly cursorY: number } }
        open(element: unknown): void
        write(text: string, done: () => void): void
        resize(columns: number, rows: number): void
      }
      const { Terminal, document } = globalThis as unknown as {
        Terminal: new (options: object) => Drawn
        document: { getElementById(id: string): unknown }
      }
      const theme = {
        background: '#1b1f24',
        foreground: '#d6dae0',
        green: '#5fbf77',
        red: '#e8716d',
        cursor: '#1b1f24',
      }
      const options = {
        cols: columns,
        rows: mostRows,
        fontFamily: 'DejaVu Sans Mono',
        fontSize: 13,
        theme,
        scrollback: 0,
      }
      const terminal = new Terminal(options)
      terminal.open(document.getElementById('screen'))
      await new Promise<void>((done) => terminal.write(text, done))
      if (!isFullScreen) terminal.resize(columns, terminal.buffer.active.cursorY + 1)
    },
    {
      text: prompt + text.trimEnd(),
      columns: COLUMNS,
      mostRows,
      isFullScreen,
    },
  )
  await pause(300)
  const png = await page.locator('#frame').screenshot({ omitBackground: true })
  await page.close()
  return png
}

/**
 * Loaded into the process of every test file: ends the process if it runs too long. The test runner gives up on a test after
 * its timeout, but then waits for the file as long as anything runs that the test has started.
 */

import { readFileSync } from 'node:fs'
import { childrenOf } from './processes.ts'

/** No file takes more than a few minutes, even on a busy machine. */
const SECONDS = Number(process.env.TEST_FILE_SECONDS ?? 600)

// The runner sets this for the files only. It is not set in the runner itself, which may take longer.
if (process.env.NODE_TEST_CONTEXT !== undefined) setTimeout(giveUp, SECONDS * 1000).unref()

function giveUp(): void {
  const running = childrenOf(process.pid)
  const list = running.map((pid) => `\n  ${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`)
  const what = list.join('') || ' nothing else'
  process.stderr.write(`gave up on ${process.argv[1]} after ${SECONDS} s; still running:${what}\n`)
  for (const pid of running) {
    process.kill(pid, 'SIGTERM')
    // A frozen one gets the signal only once it continues.
    process.kill(pid, 'SIGCONT')
  }
  process.exit(1)
}

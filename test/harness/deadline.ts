/**
 * Loaded into the process of every test file: ends the process if it runs too long. The test runner gives up on a test after
 * its timeout, but then waits for the file as long as anything runs that the test has started.
 */

import { readFileSync } from 'node:fs'

/** No file takes more than a few minutes, even on a busy machine. */
const SECONDS = Number(process.env.TEST_FILE_SECONDS ?? 600)

// The runner sets this for the files only. It is not set in the runner itself, which may take longer.
if (process.env.NODE_TEST_CONTEXT !== undefined) setTimeout(giveUp, SECONDS * 1000).unref()

function giveUp(): void {
  const running = children()
  const list = running.map(({ pid, command }) => `\n  ${pid} ${command}`).join('')
  process.stderr.write(`gave up on ${process.argv[1]} after ${SECONDS} s; still running:${list || ' nothing else'}\n`)
  for (const { pid } of running) {
    process.kill(pid, 'SIGTERM')
    process.kill(pid, 'SIGCONT')
  }
  process.exit(1)
}

/** What this process has started and has not ended. */
function children(): { pid: number; command: string }[] {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean)
  return pids.map((pid) => ({
    pid: Number(pid),
    command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
  }))
}

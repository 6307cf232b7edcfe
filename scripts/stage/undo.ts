/** Cleans up what a script has started, however the script ends. */

import { constants } from 'node:os'

const undoings: (() => void)[] = []

// 'exit' happens at a normal end and after an exception. After a signal it happens only if a handler exits.
process.on('exit', () => {
  for (const undoing of undoings.reverse()) undoing()
})

/** Calls `undoing` when the process exits, the latest first. It must be synchronous, because the event loop has ended by then. */
export function atExit(undoing: () => void): void {
  undoings.push(undoing)
}

/** Makes signals end the process through its cleanup, with the exit code that shells use (128 + signal). */
export function exitWhenAsked(): void {
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const)
    process.on(name, () => process.exit(128 + constants.signals[name]))
}

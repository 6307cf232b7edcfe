/** What a program here has started and must not leave behind, however it ends. */

import { constants } from 'node:os'

const undoings: (() => void)[] = []

// On 'exit', because its end and an exception both come by there; a signal only where it is answered with an exit.
process.on('exit', () => {
  for (const undoing of undoings.reverse()) undoing()
})

/** Has `undoing` called when the process exits, the latest first. There is no event loop by then: it must not wait. */
export function atExit(undoing: () => void): void {
  undoings.push(undoing)
}

/** Has Ctrl-C, and whoever else asks the process to end, end it by way of its undoings, with the exit code shells give. */
export function exitWhenAsked(): void {
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const)
    process.on(name, () => process.exit(128 + constants.signals[name]))
}

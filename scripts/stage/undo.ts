/** What a program here has started and must not leave behind, however it ends. */

const undoings: (() => void)[] = []

// On 'exit', because no way out of the process but SIGKILL passes it by: its end, Ctrl-C, an exception.
process.on('exit', () => {
  for (const undoing of undoings.reverse()) undoing()
})

/** Has `undoing` called when the process exits, the latest first. There is no event loop by then: it must not wait. */
export function atExit(undoing: () => void): void {
  undoings.push(undoing)
}

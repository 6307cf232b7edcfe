/** A terminal that one program has to itself: its other screen, without a cursor, key by key. */

/** What is used of a terminal. */
export interface Terminal {
  readonly columns: () => number
  readonly rows: () => number
  readonly write: (text: string) => void
  /** Passes on keys as they are pressed, Ctrl-C too, until it is called with null. */
  readonly takeKeys: (listener: ((keys: string) => void) | null) => void
  readonly onResize: (listener: () => void) => void
}

const OTHER_SCREEN = '\x1b[?1049h'
const OWN_SCREEN = '\x1b[?1049l'
const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
/** A line that is too long is cut off rather than continued in the next. */
const NO_WRAP = '\x1b[?7l'
const WRAP = '\x1b[?7h'
const HOME = '\x1b[H'
const ERASE_LINE = '\x1b[K'
const ERASE_BELOW = '\x1b[J'

/** What arrow keys and the like send; their letters are not keys. */
const SEQUENCES = new RegExp(`${String.fromCharCode(27)}(?:\\[[0-9;]*[ -/]*[@-~]|O.)`, 'g')

export class Screen {
  readonly #terminal: Terminal
  #isOpen = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** Takes the terminal. `onKey` is called for each key with its character. */
  open(onKey: (key: string) => void): void {
    this.#isOpen = true
    this.#terminal.write(OTHER_SCREEN + HIDE_CURSOR + NO_WRAP)
    this.#terminal.takeKeys((keys) => {
      for (const key of keys.replace(SEQUENCES, '')) onKey(key)
    })
  }

  /**
   * Shows these lines, as many as fit. Each line is erased before it is written: after a line as wide as the terminal the
   * cursor stays on the last character, which erasing would take away.
   */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return
    const shown = lines.slice(0, this.#terminal.rows()).map((line) => ERASE_LINE + line)
    this.#terminal.write(HOME + shown.join('\r\n') + ERASE_BELOW)
  }

  /** Gives the terminal back as it was. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#terminal.takeKeys(null)
    this.#terminal.write(WRAP + SHOW_CURSOR + OWN_SCREEN)
  }
}

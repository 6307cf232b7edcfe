/**
 * Remembers which streams had consumer groups. Whether a stream has any must be asked in every sweep that reaps, and asking
 * inside the script that looks at many streams costs least where there are none. Where there are, a command of its own takes
 * Redis half the time, and its reply tells all that reaping has to know first.
 */

/** Most streams remembered. Others are asked inside the script, and once more when they are reaped. */
const MOST_REMEMBERED = 20_000

export class GroupedStreams {
  readonly #keys = new Set<string>()

  has(key: Buffer): boolean {
    return this.#keys.size > 0 && this.#keys.has(key.toString('latin1'))
  }

  /** Records an answer. */
  set(key: Buffer, hasGroups: boolean): void {
    if (hasGroups && this.#keys.size < MOST_REMEMBERED) this.#keys.add(key.toString('latin1'))
    else if (!hasGroups && this.#keys.size > 0) this.#keys.delete(key.toString('latin1'))
  }
}

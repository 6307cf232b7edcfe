/** Repeatable random numbers: the same seed draws the same numbers. */

export class Random {
  #state: number

  constructor(seed: number) {
    // Neighbouring seeds must not draw similar numbers.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0
    for (let i = 0; i < 4; i++) this.fraction()
  }

  /** From 0 to below 1 (mulberry32). */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1))
  }

  /** A whole number on a logarithmic scale: as often from 1 to 10 as from 100 to 1,000. */
  magnitude(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.fraction())
  }

  chance(share: number): boolean {
    return this.fraction() < share
  }

  pick<const T>(choices: readonly T[]): T {
    const chosen = choices[this.int(0, choices.length - 1)]
    if (chosen === undefined) throw new RangeError('nothing to choose from')
    return chosen
  }

  /** Makes one of the results, chosen by weight. */
  weighted<T>(...choices: readonly (readonly [weight: number, make: () => T])[]): T {
    let rest = this.fraction() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, make] of choices) {
      rest -= weight
      if (rest < 0) return make()
    }
    throw new RangeError('nothing to choose from')
  }
}

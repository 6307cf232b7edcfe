/** How entries can be counted on one primary: by a read-only script, by a script, or by plain reads. */

import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, lackOf, type Missing } from '../redis/refused.ts'
import type { Evaluate } from './count_scripts.ts'

/** Entries that one bite counts at a pace of 100: about 0.3 ms of Redis's time. */
const FAST_ENTRIES = 250
/** The same at any lower pace, where other clients wait less than 0.2 ms for it. */
const GENTLE_ENTRIES = 100
/** A cost of 1 is somewhat less than a millisecond: about this many entries. */
const ENTRIES_PER_COST = 600

/** Begins with `EVAL_RO`, and falls back for all streams of the primary as soon as one reply shows that it must. */
export class CountingWay {
  readonly entriesAtOnce: number
  /** Null where scripts are not allowed. */
  #evaluate: Evaluate | null = 'EVAL_RO'
  /** The cost of one bite (see `redis/ask.ts`). */
  readonly #cost: number
  readonly #missing: Missing

  constructor(mostAtOnce: number, missing: Missing) {
    this.entriesAtOnce = mostAtOnce >= 1 ? FAST_ENTRIES : GENTLE_ENTRIES
    this.#cost = this.entriesAtOnce / ENTRIES_PER_COST
    this.#missing = missing
  }

  get hasScripts(): boolean {
    return this.#evaluate !== null
  }

  /** Runs a read-only script. @returns its reply; null where scripts are not allowed @throws Refused, Fault */
  async evaluate(ask: Ask, command: (evaluate: Evaluate) => Command): Promise<Reply | null> {
    for (let evaluate = this.#evaluate; evaluate !== null; evaluate = this.#evaluate) {
      const sent = command(evaluate)
      const [reply] = await ask([sent], this.#cost)
      if (!(reply instanceof Refusal && this.#isDenied(evaluate, reply))) return accepted(reply, sent)
    }
    return null
  }

  /** Falls back if the refusal says that this way is closed. @returns whether it does */
  #isDenied(evaluate: Evaluate, refusal: Refusal): boolean {
    const lack = lackOf(evaluate, refusal)
    if (lack === null) return false
    if (this.#evaluate !== evaluate) return true
    this.#evaluate = evaluate === 'EVAL_RO' && lack.why === 'unknown' ? 'EVAL' : null
    if (this.#evaluate === null) this.#missing(lack.command, 'an exact count', lack.why)
    return true
  }
}

import { setTimeout as pause } from 'node:timers/promises'

export interface Waiting {
  readonly timeoutMs: number
  /** What is waited for, to complete "waited 5000 ms in vain for …". */
  readonly what: string
  /** How long to rest between two looks; 20 ms unless told. */
  readonly everyMs?: number
}

/**
 * Looks again and again until `predicate` answers something truthy, and returns that.
 *
 * @throws when the deadline passes first, naming what was waited for; or what the predicate itself throws.
 */
export async function waitUntil<T>(predicate: () => T | Promise<T>, waiting: Waiting): Promise<T> {
  const deadline = performance.now() + waiting.timeoutMs
  for (;;) {
    const answer = await predicate()
    if (answer) return answer
    if (performance.now() >= deadline) throw new Error(`waited ${waiting.timeoutMs} ms in vain for ${waiting.what}`)
    await pause(waiting.everyMs ?? 20)
  }
}

import { setTimeout as pause } from 'node:timers/promises'

export interface Waiting {
  readonly timeoutMs: number
  /** What to wait for; completes "waited 5000 ms in vain for …". */
  readonly what: string
  /** How long to pause between two checks; 20 ms by default. */
  readonly everyMs?: number
}

/**
 * Polls until `predicate` returns something truthy, and returns that.
 *
 * @throws if the deadline passes first, or whatever the predicate throws
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

/**
 * A map that holds only so much. Sweeps pass all keys in about the same order: if each new key pushed out the oldest one, a
 * memory that is a little too small would have forgotten every key by the time it is needed. So once it is full most new keys
 * are not remembered, and only a few push out an old one, which may be gone for good.
 */

/** The share of new keys that push out an old one once the memory is full. */
const TAKEN_WHEN_FULL = 1 / 16

export class BoundedMemory<Value> {
  readonly #values = new Map<string, Value>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  get(key: string): Value | undefined {
    return this.#values.get(key)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  set(key: string, value: Value): void {
    if (this.#values.size >= this.#most && !this.#values.has(key)) {
      if (Math.random() >= TAKEN_WHEN_FULL) return
      const [oldest] = this.#values.keys()
      if (oldest !== undefined) this.#values.delete(oldest)
    }
    this.#values.set(key, value)
  }
}

/** A name for a group of a stream that no other group has. */
export function groupKey(stream: Buffer, group: Uint8Array): string {
  return `${stream.length}:${stream.toString('latin1')}${Buffer.from(group).toString('latin1')}`
}

/** Bounds how many bytes of entries are on their way from Redis at a time. */
export class Budget {
  #left: number
  readonly #most: number
  readonly #waiting: { readonly bytes: number; readonly come: () => void }[] = []

  constructor(most: number) {
    this.#left = most
    this.#most = most
  }

  /** Runs the work once there is room for so many bytes, in the order of arrival. */
  async within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const taken = Math.min(bytes, this.#most)
    if (this.#waiting.length > 0 || taken > this.#left) {
      await new Promise<void>((come) => {
        this.#waiting.push({ bytes: taken, come })
      })
    } else this.#left -= taken
    try {
      return await work()
    } finally {
      this.#left += taken
      for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#left; next = this.#waiting[0]) {
        this.#waiting.shift()
        this.#left -= next.bytes
        next.come()
      }
    }
  }
}

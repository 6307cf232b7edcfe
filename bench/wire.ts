/** A unix socket in front of Redis that knows, from the bytes that pass, when requests are unanswered. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Counts the whole values in a stream of RESP, as it comes in pieces: requests are arrays, and so are some replies. */
export class ValueCounter {
  whole = 0
  /** Values still to come at each depth. */
  readonly #open: number[] = []
  /** Bytes of a bulk string still to come, with its line end. */
  #skip = 0
  #line = ''

  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, bytes.length - at)
        this.#skip -= passed
        at += passed
        if (this.#skip === 0) this.#ended()
        continue
      }
      const end = bytes.indexOf(0x0a, at)
      if (end < 0) {
        this.#line += bytes.toString('latin1', at)
        return
      }
      const line = this.#line + bytes.toString('latin1', at, end)
      this.#line = ''
      at = end + 1
      this.#header(line[0] ?? '', Number(line.slice(1)))
    }
  }

  #header(kind: string, length: number): void {
    if (kind === '$' && length >= 0) this.#skip = length + 2
    else if (kind === '*' && length > 0) this.#open.push(length)
    else this.#ended()
  }

  #ended(): void {
    while (this.#open.length > 0) {
      const left = (this.#open.pop() ?? 0) - 1
      if (left > 0) {
        this.#open.push(left)
        return
      }
    }
    this.whole++
  }
}

export interface Wire {
  /** Of the time between the first request and the last reply, the share in which requests were unanswered. */
  share(): number
  close(): Promise<void>
}

/** Listens on `near` and passes everything on to `far`. */
export async function startWire(near: string, far: string): Promise<Wire> {
  let firstAt = 0
  let lastAt = 0
  let busyMs = 0
  const server = createServer((client) => {
    const redis = connect(far)
    const [asked, answered] = [new ValueCounter(), new ValueCounter()]
    let since = 0
    client.on('data', (bytes) => {
      const now = performance.now()
      firstAt ||= now
      if (asked.whole === answered.whole) since = now
      asked.push(bytes)
      redis.write(bytes)
    })
    redis.on('data', (bytes) => {
      answered.push(bytes)
      client.write(bytes)
      if (asked.whole !== answered.whole) return
      lastAt = performance.now()
      busyMs += lastAt - since
    })
    for (const [socket, other] of [
      [client, redis],
      [redis, client],
    ] as const) {
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
    }
  })
  server.listen(near)
  await once(server, 'listening')
  return {
    share: () => busyMs / (lastAt - firstAt),
    async close() {
      server.close()
      await once(server, 'close')
    },
  }
}

/** One request of a client, as the stream from which Node's HTTP server reads it and to which it writes the answer. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** Longest request line and headers. Browsers send all cookies of a host, whatever its port. */
const LONGEST_HEADERS_BYTES = 8 * 1024

const TOO_LONG = 'HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'

/**
 * Holds the headers of one request and nothing else. Whatever the client sends after them is thrown away: no page takes a
 * body, and of further requests Node would make objects before the first is answered, 16 MB of them for a packet of 64 KB.
 */
export class OneRequest extends Duplex {
  readonly client: Socket

  constructor(client: Socket, headers: Buffer) {
    super()
    this.client = client
    this.push(headers)
    client.on('data', release)
    // Node's HTTP server keeps its parser until this is closed too.
    client.once('close', () => this.destroy())
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, written: (error?: Error | null) => void): void {
    this.client.write(chunk, written)
  }

  override _final(ended: () => void): void {
    this.client.end(ended)
  }

  /** Ends the answer where it is. The client gets what was written so far. */
  override _destroy(_error: Error | null, destroyed: (error?: Error | null) => void): void {
    this.client.end()
    destroyed()
  }
}

/** Calls back with the headers of a client's first request once they are there. It refuses too long ones by itself. */
export function onceHeaders(client: Socket, callback: (headers: Buffer) => void): void {
  let read: Buffer = Buffer.alloc(0)
  const onData = (data: Buffer): void => {
    read = Buffer.concat([read, data.subarray(0, LONGEST_HEADERS_BYTES - read.length)])
    release(data)
    const end = read.indexOf('\r\n\r\n')
    if (end < 0 && read.length < LONGEST_HEADERS_BYTES) return
    client.off('data', onData).off('end', onEnd)
    if (end >= 0) callback(read.subarray(0, end + 4))
    else client.on('data', release).end(TOO_LONG)
  }
  const onEnd = (): unknown => client.destroy()
  client.on('data', onData).on('end', onEnd)
}

/** Gives the memory of what was read back at once. Left to V8's garbage collection, 64 MB of it add up first. */
function release(data: Buffer): void {
  if (data.buffer instanceof ArrayBuffer) data.buffer.transfer(0)
}

/** When requests to a port of this machine are unanswered, as tcpdump sees what passes: nothing stands in between. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { atExit } from '../scripts/stage/undo.ts'

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
  /** Ends it. @returns of the time between the first request and the last reply, the share in which requests were unanswered */
  end(): Promise<number>
}

/** The last packets take that long to be told of. */
const SETTLE_MS = 300

/** @returns null where tcpdump is not installed, or may not look */
export async function startWire(port: number): Promise<Wire | null> {
  const options = ['--immediate-mode', '-B', '65536', '-s', '0', '-U', '-w', '-', '-i', 'lo', `tcp port ${port}`]
  const dump = spawn('tcpdump', options, { stdio: ['ignore', 'pipe', 'pipe'] })
  atExit(() => dump.kill('SIGKILL'))
  const ended = once(dump, 'close').catch(() => {})
  const pieces: Buffer[] = []
  dump.stdout.on('data', (piece) => pieces.push(piece))
  const told = createInterface(dump.stderr)
  const listening = new Promise<boolean>((resolve) => {
    told.on('line', (line) => line.includes('listening on') && resolve(true))
    ended.then(() => resolve(false))
  })
  if (!(await listening)) return null
  return {
    async end() {
      await pause(SETTLE_MS)
      dump.kill('SIGINT')
      await ended
      return shareUnanswered(packetsOf(Buffer.concat(pieces)), port)
    },
  }
}

interface Packet {
  readonly atMs: number
  readonly from: number
  readonly to: number
  readonly payload: Buffer
}

const FILE_HEADER = 24
const RECORD_HEADER = 16
const ETHERNET_HEADER = 14

/** The packets of a capture in pcap's classic form, little-endian, of TCP over IPv4 on a device that looks like Ethernet. */
export function* packetsOf(capture: Buffer): Generator<Packet> {
  for (let at = FILE_HEADER; at + RECORD_HEADER <= capture.length; ) {
    const atMs = capture.readUInt32LE(at) * 1000 + capture.readUInt32LE(at + 4) / 1000
    const end = at + RECORD_HEADER + capture.readUInt32LE(at + 8)
    if (end > capture.length) return
    const ip = at + RECORD_HEADER + ETHERNET_HEADER
    const tcp = ip + (capture.readUInt8(ip) & 0xf) * 4
    const data = tcp + (capture.readUInt8(tcp + 12) >> 4) * 4
    yield {
      atMs,
      from: capture.readUInt16BE(tcp),
      to: capture.readUInt16BE(tcp + 2),
      payload: capture.subarray(data, end),
    }
    at = end
  }
}

/** Of the time between the first request to `port` and the last reply, the share in which some request was unanswered. */
export function shareUnanswered(packets: Iterable<Packet>, port: number): number {
  const clients = new Map<number, { readonly asked: ValueCounter; readonly answered: ValueCounter }>()
  let [firstMs, lastMs, sinceMs, busyMs] = [Number.NaN, 0, 0, 0]
  let unanswered = 0
  for (const { atMs, from, to, payload } of packets) {
    if (payload.length === 0) continue
    const isRequest = to === port
    const client = clients.get(isRequest ? from : to) ?? { asked: new ValueCounter(), answered: new ValueCounter() }
    clients.set(isRequest ? from : to, client)
    const before = unanswered
    unanswered -= client.asked.whole - client.answered.whole
    client[isRequest ? 'asked' : 'answered'].push(payload)
    unanswered += client.asked.whole - client.answered.whole
    if (Number.isNaN(firstMs)) firstMs = atMs
    // Below 0 where a packet was not seen: it is over as soon as something else is asked and answered.
    if (before <= 0 && unanswered > 0) sinceMs = atMs
    if (before > 0 && unanswered <= 0) {
      busyMs += atMs - sinceMs
      lastMs = atMs
    }
  }
  return busyMs / (lastMs - firstMs)
}

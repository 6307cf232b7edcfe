/** Measures with tcpdump how long requests to a local port are unanswered, without a proxy that could disturb them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { atExit } from '../scripts/stage/undo.ts'

/** Counts complete top-level values in a RESP stream that arrives in pieces. Each request is one value, and so is each reply. */
export class ValueCounter {
  whole = 0
  /** Values still to come at each depth. */
  readonly #open: number[] = []
  /** Bytes of a bulk string still to come, including its line end. */
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
  /** Ends the capture. @returns the result of `shareUnanswered` */
  end(): Promise<number>
}

/** tcpdump needs this long to write the last packets. */
const SETTLE_MS = 300

/** @returns null if tcpdump is not installed or not permitted */
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

/** Reads the packets of a classic, little-endian pcap file: TCP over IPv4 on an Ethernet-like device such as `lo`. */
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

/** The share of the time from the first request to `port` to the last reply in which a request was unanswered. */
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
    // Below 0 if tcpdump missed a packet. The next request and reply correct that.
    if (before <= 0 && unanswered > 0) sinceMs = atMs
    if (before > 0 && unanswered <= 0) {
      busyMs += atMs - sinceMs
      lastMs = atMs
    }
  }
  return busyMs / (lastMs - firstMs)
}

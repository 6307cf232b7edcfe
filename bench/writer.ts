/**
 * Writes 1,000 entries a second in its own process until its stdin is closed. Then it prints as JSON when each entry was due
 * (ms since 1970) and how long after that its reply arrived (ms). So a slow reply also delays the entries queued behind it.
 */
import { once } from 'node:events'
import { connect } from 'node:net'

const EVERY_MS = 1
/** Node's timers have a resolution of 1 ms, which is too coarse here. */
const NAP_MS = 0.1

const [path = ''] = process.argv.slice(2)
const socket = connect(path)
await once(socket, 'connect')
const command = Buffer.from('*5\r\n$4\r\nXADD\r\n$10\r\nforeground\r\n$1\r\n*\r\n$1\r\nm\r\n$5\r\nhello\r\n')
const nap = new Int32Array(new SharedArrayBuffer(4))
const start = performance.now()
const due = (number: number): number => start + number * EVERY_MS
const latencies: number[] = []
let sent = 0
let stopping = false

socket.on('data', (replies) => {
  if (replies[0] === 0x2d) throw new Error(String(replies))
  const now = performance.now()
  // Each reply is one bulk string, so it contains exactly one `$`.
  for (const byte of replies) if (byte === 0x24) latencies.push(now - due(latencies.length))
  if (stopping && latencies.length === sent) tell()
})
process.stdin.on('end', () => {
  stopping = true
  if (latencies.length === sent) tell()
})
process.stdin.resume()
process.stdout.write('ready\n')
turn()

function turn(): void {
  if (stopping) return
  while (due(sent) <= performance.now()) {
    sent++
    socket.write(command)
  }
  Atomics.wait(nap, 0, 0, Math.min(NAP_MS, Math.max(0, due(sent) - performance.now())))
  setImmediate(turn)
}

function tell(): void {
  const firstMs = performance.timeOrigin + start
  const rounded = latencies.map((ms) => Math.round(ms * 1000) / 1000)
  process.stdout.write(`${JSON.stringify({ firstMs, everyMs: EVERY_MS, latencies: rounded })}\n`, () => process.exit(0))
}

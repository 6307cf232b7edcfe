/** A DNS server that resolves every name to 127.0.0.1. */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

const HEADER_BYTES = 12
const TYPE_A = 1
/** An answer record: a pointer to the name in the question, type A, class IN, a TTL of 60 s, and four bytes of address. */
const ADDRESS = Buffer.from('c00c00010001' + '0000003c' + '00047f000001', 'hex')

/**
 * Listens on port 53 of a loopback address until the test ends, because resolv.conf cannot name another port. Needs root.
 * @returns the address, and the names that were queried
 */
export async function startNameServer(t: TestContext): Promise<{ address: string; asked: ReadonlySet<string> }> {
  const address = `127.0.0.${100 + (process.pid % 100)}`
  const asked = new Set<string>()
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    const labels: string[] = []
    let at = HEADER_BYTES
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    asked.add(labels.join('.'))
    const isKnown = query.readUInt16BE(at + 1) === TYPE_A
    const answer = Buffer.from(query.subarray(0, at + 5))
    // Flags of a response without an error, then the counts of questions, answers and other records.
    answer.writeUInt16BE(0x8180, 2)
    for (const [i, count] of [1, isKnown ? 1 : 0, 0, 0].entries()) answer.writeUInt16BE(count, 4 + 2 * i)
    socket.send(isKnown ? Buffer.concat([answer, ADDRESS]) : answer, from.port, from.address)
  })
  socket.bind(53, address)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return { address, asked }
}

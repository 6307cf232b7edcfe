/** A name server that knows every name: each of them is 127.0.0.1. */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

const HEADER_BYTES = 12
const TYPE_A = 1
/** The name of the question again, an address of the Internet, for a minute, in four bytes. */
const ADDRESS = Buffer.from('c00c00010001' + '0000003c' + '00047f000001', 'hex')

/**
 * Answers on port 53 of a loopback address, since a resolv.conf knows no other port, until the test ends; takes root.
 * @returns the address, and the names that were asked for
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
    // An answer, without an error, to one question.
    answer.writeUInt16BE(0x8180, 2)
    for (const [i, count] of [1, isKnown ? 1 : 0, 0, 0].entries()) answer.writeUInt16BE(count, 4 + 2 * i)
    socket.send(isKnown ? Buffer.concat([answer, ADDRESS]) : answer, from.port, from.address)
  })
  socket.bind(53, address)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return { address, asked }
}

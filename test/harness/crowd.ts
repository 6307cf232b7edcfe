/** Many clients at once, in a process of their own so that they do not slow down the test. Run as a program it is that process. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

/** What each client of a crowd does. */
export interface Attack {
  readonly sends: string
  /** Sent every second from then on. */
  readonly goesOn?: string
  /** It reads no answer, and does not see that it was closed. */
  readonly isDeaf?: boolean
  /** It connects again as often as it is closed. */
  readonly comesBack?: boolean
}

export interface Crowd {
  /** How many were connected, once each was, or was reset before it could see that. */
  readonly connected: Promise<number>
}

/** Sends the crowd, all at once; resolves when it is under way. It is gone when the test ends. */
export async function sendCrowd(t: TestContext, port: number, count: number, attack: Attack): Promise<Crowd> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify({ port, count, attack })])
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return { connected: once(child, 'message').then(([connected]) => Number(connected)) }
}

function attackWith(port: number, count: number, attack: Attack): void {
  let connected = 0
  let met = 0
  const meet = (): void => {
    if (++met === count) process.send?.(connected)
  }
  const come = (isFirst: boolean): void => {
    let isMet = !isFirst
    const socket = connect(port, '127.0.0.1', () => {
      if (isFirst) connected++
      if (!isMet) meet()
      isMet = true
      socket.write(attack.sends)
      const { goesOn } = attack
      const timer = goesOn && setInterval(() => socket.write(goesOn), 1000)
      socket.once('close', () => timer && clearInterval(timer))
      if (!attack.isDeaf) socket.resume()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      if (!isMet) meet()
      if (attack.comesBack) come(false)
    })
  }
  for (let i = 0; i < count; i++) come(true)
  process.send?.('sent')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { port, count, attack } = JSON.parse(process.argv[2] ?? '') as { port: number; count: number; attack: Attack }
  attackWith(port, count, attack)
}

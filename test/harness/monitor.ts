/** Every command that Redis executes, as MONITOR reports it. */

import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

export interface Monitored {
  /** The command's name in capitals. */
  readonly name: string
  /** The command with its arguments, as MONITOR quotes them. */
  readonly words: readonly string[]
  /** Whether a script ran it. */
  readonly byScript: boolean
}

export interface Monitor {
  /** Every command executed since the monitor began, except the monitor's own. */
  commands(): Promise<readonly Monitored[]>
}

/** Starts MONITOR, which stops when the test ends. */
export async function startMonitor(t: TestContext, redis: RedisServer): Promise<Monitor> {
  const socket = connect(redis.port, '127.0.0.1')
  t.after(() => socket.destroy())
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece
  })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write('MONITOR\r\n')
  await waitUntil(() => text.includes('+OK\r\n'), { timeoutMs: 60_000, what: 'MONITOR to begin' })
  let marks = 0
  return {
    async commands() {
      // MONITOR reports in order: all earlier commands come before this mark.
      const mark = `the end of monitoring ${++marks}`
      await redis.command('ECHO', mark)
      await waitUntil(() => text.includes(mark), { timeoutMs: 60_000, what: 'MONITOR to report everything' })
      return text
        .split('\r\n')
        .map((line) => /^\+[\d.]+ \[\d+ (\S+)\] (".*")$/.exec(line))
        .filter((parts) => parts !== null)
        .map(([, client, quoted = '']) => {
          const words = (quoted.match(/"(?:[^"\\]|\\.)*"/g) ?? []).map((word) => word.slice(1, -1))
          return { name: (words[0] ?? '').toUpperCase(), words, byScript: client === 'lua' }
        })
        .filter(({ words }) => !words[1]?.startsWith('the end of monitoring'))
    },
  }
}

/** The names of those commands that write or may write, by Redis's own flags. */
export async function writesAmong(redis: RedisServer, commands: readonly Monitored[]): Promise<string[]> {
  const names = [...new Set(commands.map(({ name }) => name))]
  const told = (await redis.command('COMMAND', 'INFO', ...names)) as ([string, number, string[]] | null)[]
  return names.filter((_, i) => told[i]?.[2].some((flag) => flag === 'write' || flag === 'may_replicate') ?? true)
}

/** A month of chat messages that one sweep archives before it removes them, and one conversation read back. */

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CONVERSATIONS, DAYS, makeChat, writeHistory } from './chat.ts'
import { withoutOurs } from './environment.ts'
import type { PrivateRedis } from './private_redis.ts'
import { runSweep, SOURCE } from './program.ts'
import { type Columns, count, megabytes, quoted, say, sayCells, sayHead } from './say.ts'
import { atExit } from './undo.ts'

const POLICIES = [
  ...['--match', 'stream:conversation:*', '--max-age', '24h', '--max-length', '1000'],
  ...['--policy', 'stream:fanout:*,max-age=24h,archive=false'],
]
/** Where the demo says that its archive is. */
const SHOWN = 'file:///var/archive'
const FIRST_MESSAGES = 3
const MESSAGES_PER_HOUR = 300

/** @throws the signal's reason when it is aborted */
export async function demonstrateArchive(redis: PrivateRedis, interrupted: AbortSignal): Promise<void> {
  say(`A private redis-server ${redis.version} with a month of chat messages: ${DAYS} days,`)
  say(`${count(MESSAGES_PER_HOUR)} messages an hour of about 500 bytes, in ${CONVERSATIONS} conversations, and a`)
  say('fan-out that need not be kept.')
  say()
  const chat = makeChat()
  const written = await writeHistory(redis.client, chat, await redis.now(), interrupted, MESSAGES_PER_HOUR)
  say(`  written  ${count(written)} entries`)
  say()
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-demo-archive-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const archive = ['--archive', `file://${folder}`]
  const [key = ''] = chat.draw
  const asked = await redis.client.xLen(key)
  const before = await measure(redis)

  say(`$ xtrimd sweep --archive ${SHOWN} \\`)
  say(`             ${quoted(POLICIES.slice(0, 6))} \\`)
  say(`             ${quoted(POLICIES.slice(6))}`)
  say()
  const tally = await runSweep(['--redis-url', redis.url, ...POLICIES, ...archive], interrupted)
  if (tally.result !== 'success') throw new Error(`the sweep did not succeed: ${tally.cause}`)
  const after = await measure(redis)
  sayHead(COLUMNS)
  const row = (what: string, of: (now: Measure) => string): void => sayCells(COLUMNS, [what, of(before), of(after)])
  row('entries in Redis', ({ entries }) => count(entries))
  row('memory', ({ bytes }) => megabytes(bytes))
  say()
  say(
    `  archived ${count(tally.archived)} entries in ${megabytes(tally.archivedBytes)}, in ${tally.durationSeconds.toFixed(1)} s`,
  )
  say()

  say(`$ xtrimd archive cat --archive ${SHOWN} \\`)
  say(`             --stream ${key} |`)
  say(`    jq -c '[.id, .fields.sender, .fields.text]' | head -${FIRST_MESSAGES}`)
  say()
  const lines = (await xtrimd(['archive', 'cat', ...archive, '--stream', key], interrupted)).trimEnd().split('\n')
  for (const line of lines.slice(0, FIRST_MESSAGES)) {
    const { id, fields } = JSON.parse(line) as { id: string; fields: { sender: string; text: string } }
    say(`  ${JSON.stringify([id, fields.sender, fields.text]).slice(0, 77)}…`)
  }
  say()
  const left = await redis.client.xLen(key)
  say(`  ${count(lines.length)} messages in the archive; Redis still holds ${count(left)} of ${count(asked)}`)
  say()

  const target = `restored:${key.slice('stream:conversation:'.length)}`
  say(`$ xtrimd archive restore --archive ${SHOWN} \\`)
  say(`             --stream ${key} \\`)
  say(`             --to-stream ${target}`)
  say()
  const restoring = ['--redis-url', redis.url, ...archive, '--stream', key, '--to-stream', target]
  await xtrimd(['archive', 'restore', ...restoring], interrupted)
  say(`  ${count(await redis.client.xLen(target))} messages are back in Redis, with the IDs that they had`)
}

/** @returns what the program prints @throws unless it exits with 0 */
async function xtrimd(args: readonly string[], signal: AbortSignal): Promise<string> {
  const [command = '', ...words] = [...SOURCE, ...args]
  const { stdout } = await promisify(execFile)(command, words, { env: withoutOurs(), signal, maxBuffer: 2 ** 28 })
  return stdout
}

interface Measure {
  readonly entries: number
  readonly bytes: number
}

async function measure(redis: PrivateRedis): Promise<Measure> {
  const lengths = await redis.streamLengths()
  return { entries: lengths.reduce((sum, length) => sum + length, 0), bytes: await redis.memory() }
}

const COLUMNS: Columns = [
  ['', -20],
  ['before', 12],
  ['after', 12],
]

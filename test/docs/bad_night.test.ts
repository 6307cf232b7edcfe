/** Lives through the bad night of docs/operations.md: its commands, in order, show what the page shows. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPage, sectionOf } from '../harness/documents.ts'
import { runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'

const HOUR = 3_600_000
const ORDERS = 'stream:conversation:orders'
const SECTION = sectionOf(
  readPage('docs/operations.md'),
  'What does a bad night look like, from the first alert to the fix\\?',
)

interface Shown {
  readonly args: readonly string[]
  readonly lines: readonly string[]
}

/** The commands of the section, with the lines that they print. */
function commandsShown(): Shown[] {
  return Array.from(
    SECTION.matchAll(/^```console\n\$ xtrimd (.*)\n([\s\S]*?)^```$/gm),
    ([, command = '', output = '']) => ({
      args: command.split(' '),
      lines: output.split('\n').filter((line) => line !== '' && line !== '…'),
    }),
  )
}

/**
 * A line without what differs from night to night: times, widths of columns, and the number of entries that are older than a
 * day, which grows while the test runs.
 */
function comparable(line: string): string {
  return line
    .replace(/[\d.]+ ?(?:ms|s)(?= ago)/, 'some time')
    .replace(/\b24\d{3}\b/, '24,000')
    .replace(/ +/g, ' ')
    .trim()
}

/** Adds entries in equal steps from so many hours ago until now. */
async function fill(redis: RedisServer, key: string, count: number, hours: number, bytes: number): Promise<void> {
  const from = Date.now() - hours * HOUR
  const text = 'x'.repeat(bytes)
  for (let first = 0; first < count; first += 5_000) {
    const page = Array.from({ length: Math.min(5_000, count - first) }, (_, i) => first + i)
    const id = (n: number): string => `${from + Math.floor((n * hours * HOUR) / count)}-0`
    await Promise.all(page.map((n) => redis.command('XADD', key, id(n), 'text', text)))
  }
}

test('the commands of the bad night show what the page shows, and end it', async (t) => {
  const redis = await startRedis(t, { config: { maxmemory: '64mb', 'maxmemory-policy': 'noeviction' } })
  for (let n = 0; n < 200; n++) await fill(redis, `stream:conversation:${n}`, 300, 20, 100)
  await fill(redis, ORDERS, 120_000, 30, 200)
  await redis.command('XGROUP', 'CREATE', ORDERS, 'mailer', '0')
  await redis.command('XREADGROUP', 'GROUP', 'mailer', 'mailer-7f9c', 'COUNT', '40000', 'STREAMS', ORDERS, '>')
  await redis.command('XGROUP', 'CREATE', ORDERS, 'search', '$')
  const before = await redis.usedMemory()

  const shown = commandsShown()
  assert.deepEqual(
    shown.map(({ args }) => args[0]),
    ['top', 'explain', 'plan', 'sweep'],
  )
  for (const { args, lines } of shown) {
    const env = { XTRIMD_PROTECT: 'unacked', XTRIMD_REDIS_URL: redis.url }
    const { code, stdout } = await runXtrimd(args, { env })
    assert.equal(code, 0, stdout)
    const printed = stdout.split('\n').map(comparable)
    for (const line of lines) {
      assert.ok(printed.includes(comparable(line)), `${args.join(' ')} prints: ${line}\nbut printed:\n${stdout}`)
    }
  }
  assert.ok(Number(await redis.command('XLEN', ORDERS)) < 10_200)
  assert.ok((await redis.usedMemory()) < before * 0.7)
})

/** Measures what archiving costs: entries read with XRANGE alone, and the same entries archived to a folder and removed. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { RESP_TYPES } from '@redis/client'
import { makeChat } from '../scripts/stage/chat.ts'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { timed } from './contenders/contender.ts'
import { type Daemon, FASTEST, startWarmDaemon } from './daemon.ts'
import { temporaryFolder } from './image.ts'
import { DAY_MS, keyOf } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'

const ENTRIES_EACH = 1000
const TEMPLATE = 'template'
const TEXTS = 'texts'
/** Taken alternately, so that other work on the machine affects all. */
const TURNS = 7
/** More streams at a time are not read faster. */
const READ_AT_ONCE = 4
const GOAL = 0.5

/** A conversation of two, with one message a millisecond. */
const FILL = `
local texts = redis.call('LRANGE', KEYS[2], 0, -1)
for i = 1, tonumber(ARGV[1]) do
  local sender = i % 2 == 0 and 'user-17' or 'user-23'
  redis.call('XADD', KEYS[1], string.format('%.0f-0', ARGV[2] + i), 'sender', sender, 'text', texts[1 + (i * 7919) % #texts])
end`

export async function archiveBacklog({ archivedEntries, quick }: Options): Promise<Section> {
  const streams = Math.max(1, Math.round(archivedEntries / ENTRIES_EACH))
  const entries = streams * ENTRIES_EACH
  say(`\nArchiving, ${count(entries)} entries in ${count(streams)} streams, ${TURNS} times`)
  const redis = await startPrivateRedis()
  await redis.client.rPush(TEXTS, [...makeChat().texts])
  const oldMs = String((await redis.now()) - 2 * DAY_MS)
  await redis.client.eval(FILL, { keys: [TEMPLATE, TEXTS], arguments: [String(ENTRIES_EACH), oldMs] })
  const keys = Array.from({ length: streams }, (_, i) => keyOf(i + 1))
  const plant = (): Promise<unknown> =>
    Promise.all(keys.map((key) => redis.client.sendCommand(['COPY', TEMPLATE, key, 'REPLACE'])))
  const folder = temporaryFolder()
  await plant()
  const flags = ['--max-length', 'off', '--archive', `file://${folder}`, ...FASTEST]
  const daemon = await startWarmDaemon(redis.url, { flags }, 2)
  const buffers = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const ways: Readonly<Record<string, () => Promise<number>>> = {
    'XRANGE alone, replies as strings': () => readingMs(redis.client, keys),
    'XRANGE alone, replies as buffers': () => readingMs(buffers, keys),
    'xtrimd run --archive': () => archivingMs(daemon, entries),
  }
  const perSecond = new Map<string, number[]>()
  for (let turn = 0; turn < (quick ? 1 : TURNS); turn++) {
    await plant()
    for (const [name, way] of Object.entries(ways))
      perSecond.set(name, [...(perSecond.get(name) ?? []), (entries / (await way())) * 1000])
    rmSync(join(folder, 'v1'), { recursive: true })
  }
  await daemon.stop()
  await redis.stop()
  const rows = [...perSecond].map(([name, turns]) => ({ name, median: median(turns), best: Math.max(...turns) }))
  const [strings, binary, archived] = rows.map((row) => row.median) as [number, number, number]
  const verdicts = [
    `archiving and removing takes place at ${brief(archived / strings)} × the speed of reading alone with node-redis (goal ${GOAL}), ${brief(archived / binary)} × if the replies are read as buffers, as xtrimd must`,
  ]
  for (const row of rows) say(`  ${row.name}  ${count(Math.round(row.median))}`)
  for (const verdict of verdicts) say(`  ${verdict}`)
  return {
    title: 'Archiving: what it costs',
    text: `${count(entries)} entries of about 500 bytes in ${count(streams)} streams are all older than a day. node-redis reads them with XRANGE, ${count(ENTRIES_EACH)} at a time from ${READ_AT_ONCE} streams at once; then a warm daemon at ${FASTEST.join(' ')} archives them to a folder and removes them. ${TURNS} turns, taken alternately.`,
    head: ['way', 'entries a second, median', 'best turn'],
    rows: rows.map(({ name, median, best }) => [name, count(Math.round(median)), count(Math.round(best))]),
    verdicts,
  }
}

async function readingMs(
  client: Pick<PrivateRedis['client'], 'sendCommand'>,
  keys: readonly string[],
): Promise<number> {
  const left = [...keys]
  const readOn = async (): Promise<void> => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) {
      const reply: unknown = await client.sendCommand(['XRANGE', key, '-', '+', 'COUNT', String(ENTRIES_EACH)])
      if ((reply as unknown[]).length !== ENTRIES_EACH) throw new Error(`${key} has other entries`)
    }
  }
  const { ms } = await timed(() => Promise.all(Array.from({ length: READ_AT_ONCE }, readOn)))
  return ms
}

/** The first or second sweep after the daemon continues finds the entries. */
const TRIES = 5

async function archivingMs(daemon: Daemon, entries: number): Promise<number> {
  daemon.thaw()
  let line = await daemon.nextSweep()
  for (let tries = 1; line.removed.age === 0 && tries < TRIES; tries++) line = await daemon.nextSweep()
  daemon.freeze()
  if (line.removed.age !== entries) throw new Error(`the sweep removed ${line.removed.age} entries, not ${entries}`)
  return line.durationSeconds * 1000
}

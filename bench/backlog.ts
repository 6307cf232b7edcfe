/** Streams that were never trimmed, brought inside the policy: by one sweep, and by the command that holds Redis. */
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { timed } from './contenders/contender.ts'
import { sweepOnce } from './contenders/ours.ts'
import { keyOf, MAX_LENGTH } from './keyspace.ts'
import { fillLongStream } from './long_stream.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const SLOW_MICROSECONDS = 1000

export async function catchUp({ backlog }: Options): Promise<Section> {
  say('\nA backlog')
  const many = 1000
  const each = Math.max(10, Math.min(10_000, Math.floor(backlog / many)))
  const rows: string[][] = []
  const verdicts: string[] = []
  for (const [streams, entries] of [
    [1, backlog],
    [many, each],
  ] as const) {
    const name = `${count(streams)} × ${count(entries)} entries`
    for (const flags of [['--pace', '100'], []]) {
      const { sweepMs, exactMs, slow } = await measure(streams, entries, flags)
      const ratio = brief(sweepMs / exactMs)
      const [longest] = slow.sort((a, b) => b.microseconds - a.microseconds)
      const named = longest === undefined ? '' : `${count(longest.microseconds)} (${longest.command})`
      const cells = [brief(exactMs), brief(sweepMs), ratio, String(slow.length), named]
      const how = ['xtrimd sweep', ...flags].join(' ')
      rows.push([name, how, ...cells])
      verdicts.push(
        `${name}, ${how}: ${ratio} × one blocking exact XTRIM (goal 1.5), ${slow.length} commands over 1 ms (goal 0)`,
      )
    }
  }
  for (const verdict of verdicts) say(`  ${verdict}`)
  return {
    title: 'Backlog: never trimmed before',
    text: `Entries of 100 bytes, brought down to ${count(MAX_LENGTH)} a stream. The slow log's threshold is ${count(SLOW_MICROSECONDS)} µs; the exact XTRIM works on an identical copy. What is over it is, seen with perf, jemalloc merging what was freed and giving it back to the kernel, inside whichever command is at work: bites of 500 entries show as many.`,
    head: ['', '', 'exact XTRIM, ms', 'our sweep, ms', 'ratio', 'commands over 1 ms', 'longest of them, µs'],
    rows,
    verdicts,
  }
}

async function measure(streams: number, entries: number, flags: readonly string[]) {
  const redis = await startPrivateRedis()
  await fillLongStream(redis, keyOf(1), entries)
  for (let s = 2; s <= streams; s++) await redis.client.sendCommand(['COPY', keyOf(1), keyOf(s)])
  for (let s = 1; s <= streams; s++) await redis.client.sendCommand(['COPY', keyOf(s), copyOf(s)])
  const { ms: exactMs } = await timed(async () => {
    for (let s = 1; s <= streams; s++) await redis.client.xTrim(copyOf(s), 'MAXLEN', MAX_LENGTH)
  })
  await redis.client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', String(SLOW_MICROSECONDS)])
  await redis.client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '100000'])
  await redis.client.sendCommand(['SLOWLOG', 'RESET'])
  const report = await sweepOnce(redis.url, ['--max-age', 'off', ...flags])
  const log = (await redis.client.sendCommand(['SLOWLOG', 'GET', '-1'])) as unknown as [
    number,
    number,
    number,
    string[],
  ][]
  const left = await redis.streamLengths()
  await redis.stop()
  if (left.some((length) => length > MAX_LENGTH + 200)) throw new Error('the sweep left a backlog')
  return {
    sweepMs: report.durationSeconds * 1000,
    exactMs,
    slow: log.map(([, , microseconds, [command = '']]) => ({ microseconds, command })),
  }
}

function copyOf(stream: number): string {
  return `copy:${stream}`
}

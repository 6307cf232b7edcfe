/** `explain` while others change the stream. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { explainJson } from '../../src/report/explain_json.ts'
import { explainSummary } from '../../src/report/explain_summary.ts'
import { explainHere } from '../harness/explain_here.ts'
import { complaintsAbout } from '../harness/output.ts'
import { startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'

const KEY = 'stream:conversation:a'
const LOOKS = 150
/** All at once, so that every look asks everything. */
const FLAGS = [
  ...['--max-length', '50', '--max-bytes', '10kb', '--acked-after', '0s', '--reap-pending', '--reap-groups', '*'],
  ...['--reap-consumers-after', '1ms', '--delete-idle', '1s', '--delete-empty'],
]
const FILL = "for i = 1, 2000 do redis.call('XADD', KEYS[1], '*', 'a', string.rep('b', 40)) end"

const CHANGES: readonly (readonly string[])[] = [
  ['DEL', KEY],
  ['DEL', KEY],
  ['SET', KEY, 'text'],
  ['EVAL', FILL, '1', KEY],
  ['EVAL', FILL, '1', KEY],
  ['XGROUP', 'CREATE', KEY, 'g', '0', 'MKSTREAM'],
  ['XGROUP', 'DESTROY', KEY, 'g'],
  ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '500', 'STREAMS', KEY, '>'],
  ['XTRIM', KEY, 'MAXLEN', '10'],
]

test('a stream that others delete, replace, trim and fill meanwhile is explained as it is at some moment', async (t) => {
  const redis = await startRedis(t)
  const random = new Random(1)
  let isOver = false
  const change = async (): Promise<void> => {
    while (!isOver) {
      await redis.command(...random.pick(CHANGES)).catch(() => {})
      // A look takes some ten milliseconds.
      await wait(random.int(0, 3))
    }
  }
  const changing = change()
  t.after(() => {
    isOver = true
  })
  const seen = new Map<string, number>()
  for (let i = 0; i < LOOKS; i++) {
    const explained = await explainHere(redis.url, KEY, ['--protect', 'unacked', ...FLAGS])
    const { result, cause, message } = explained
    seen.set(cause ?? result, (seen.get(cause ?? result) ?? 0) + 1)
    assert.ok(['missing', 'not_a_stream', null].includes(cause), message ?? '')
    assert.deepEqual(complaintsAbout('explain', JSON.parse(JSON.stringify(explainJson(explained)))), [])
    assert.doesNotMatch(explainSummary(explained), /NaN|undefined| -\d/)
  }
  isOver = true
  await changing
  t.diagnostic(JSON.stringify([...seen]))
  for (const what of ['success', 'missing', 'not_a_stream']) assert.ok((seen.get(what) ?? 0) > 0, what)
})

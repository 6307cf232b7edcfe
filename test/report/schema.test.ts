/** The schemas of `--output json`. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintsAbout, publishedSchema } from '../harness/output.ts'
import { planWell } from '../harness/plan_once.ts'
import { startRedis } from '../harness/redis_server.ts'
import { sweepWell } from '../harness/sweep_once.ts'

test('an unknown field, a missing field and an unknown word break the schema, for tests but not for scripts', async (t) => {
  const redis = await startRedis(t)
  for (const command of ['sweep', 'plan'] as const) {
    const output = { ...(await (command === 'sweep' ? sweepWell : planWell)(redis.url)) }
    assert.deepEqual(complaintsAbout(command, output), [])
    const { longest: _, ...less } = output
    for (const wrong of [{ ...output, more: 1 }, less, { ...output, result: 'fine' }, { ...output, cause: 'OOM' }]) {
      assert.notDeepEqual(complaintsAbout(command, wrong), [], JSON.stringify(wrong))
    }
    // A script that validates against this version's schema accepts the fields of later versions.
    assert.doesNotMatch(JSON.stringify(publishedSchema(command)), /"additionalProperties":false/)
  }
})

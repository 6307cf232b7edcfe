/** The unit for systemd: accepted by systemd, sandboxed, and what it starts is the program. */

import assert from 'node:assert/strict'
import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readPage } from '../harness/documents.ts'
import { temporaryFolder } from '../harness/files.ts'
import { runXtrimd } from '../harness/program.ts'

const UNIT = readPage('systemd/xtrimd.service')
const ANALYZE = ['/usr/bin/systemd-analyze', '/bin/systemd-analyze'].find(existsSync)
const skip = ANALYZE === undefined && 'systemd-analyze is not installed'

/** The values of a setting, in order. */
function settings(name: string): string[] {
  return Array.from(UNIT.matchAll(new RegExp(`^${name}=(.*)$`, 'gm')), ([, value = '']) => value)
}

/** Runs systemd-analyze on the unit, with a program that exists here in place of xtrimd. */
function analyze(t: TestContext, words: readonly string[], unit = UNIT): SpawnSyncReturns<string> {
  const path = join(temporaryFolder(t, 'unit'), 'xtrimd.service')
  writeFileSync(path, unit.replace('ExecStart=xtrimd ', `ExecStart=${process.execPath} `))
  return spawnSync(ANALYZE ?? '', [...words, path], { encoding: 'utf8' })
}

test('systemd accepts the unit', { skip }, (t) => {
  const { status, stderr } = analyze(t, ['verify', '--man=no'])
  assert.deepEqual([status, stderr], [0, ''])
  const wrong = analyze(t, ['verify', '--man=no'], UNIT.replace('CPUSchedulingPolicy=idle', 'CPUSchedulingPolicy=lazy'))
  assert.match(wrong.stderr, /CPU scheduling policy.*lazy/i, 'the control')
})

test('the unit exposes little of the machine to the program', { skip }, (t) => {
  const strict = ['security', '--offline=yes', '--no-pager', '--threshold=20']
  assert.equal(analyze(t, strict).status, 0)
  assert.notEqual(analyze(t, strict, UNIT.replace('DynamicUser=yes', '')).status, 0, 'the control')
})

test('the unit gives the program only spare CPU time, and does not restart it after a wrong setting', async () => {
  assert.deepEqual(settings('CPUSchedulingPolicy'), ['idle'])
  assert.deepEqual(settings('RestartPreventExitStatus'), ['2'])
  assert.equal((await runXtrimd(['run'], { env: { XTRIMD_MAX_AGE: '24' } })).code, 2)
  // The program starts as the unit starts it.
  const [command = ''] = settings('ExecStart')
  assert.equal(command, 'xtrimd run')
  const [options = ''] = settings('Environment').map((text) => text.replace(/^"NODE_OPTIONS=(.*)"$/, '$1'))
  const heap = execFileSync(process.execPath, ['-p', 'v8.getHeapStatistics().heap_size_limit'], {
    env: { ...process.env, NODE_OPTIONS: options },
  })
  assert.ok(Number(heap) < 300e6, 'the options are known to Node, and limit its heap')
})

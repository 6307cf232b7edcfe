/** Servers that do not know a command: renamed away, left out by a managed service, or older than it. */

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { Refusal } from '../../src/redis/refusal.ts'
import { temporaryFolder } from '../harness/files.ts'
import { readOutput } from '../harness/output.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisOptions, type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:a'

/** Nothing that the program prints may hold a script or the arguments of a command. */
const LEAKED = /redis\.p?call|local |KEYS\[|args beginning|script: [0-9a-f]{8}/

interface Said {
  readonly result: string
  readonly reason?: string
  readonly missing: Record<string, string>
  readonly removed?: Record<string, number>
}

/** A server without these commands, with a stream of 1,030 old entries and a young one, of which a group has read five. */
async function startWithout(t: TestContext, commands: readonly string[]): Promise<RedisServer> {
  const redis = await startRedis(t, renamed(t, commands))
  // Without a script, which the server may not know.
  const from = Date.now() - 48 * HOUR
  await Promise.all(
    Array.from({ length: 1_030 }, (_, i) => redis.command('XADD', KEY, `${from + i}-0`, 'f', 'v'.repeat(10))),
  )
  await redis.command('XADD', KEY, '*', 'f', 'young')
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '5', 'STREAMS', KEY, '>')
  return redis
}

/** The options of a server with these commands renamed away. */
function renamed(t: TestContext, commands: readonly string[]): RedisOptions {
  const include = join(temporaryFolder(t, 'renamed'), 'renamed.conf')
  writeFileSync(include, commands.map((command) => `rename-command ${command} ""\n`).join(''))
  return { config: { include } }
}

async function run(redis: RedisServer, command: 'sweep' | 'plan', ...args: string[]): Promise<Said & { text: string }> {
  const url = ['--redis-url', redis.url, '--match', 'stream:*']
  const json = await runXtrimd([command, ...url, ...args, '--output', 'json'])
  const text = await runXtrimd([command, ...url, ...args])
  for (const one of [json.stdout, json.stderr, text.stdout, text.stderr]) assert.doesNotMatch(one, LEAKED)
  return { ...(readOutput(command, json.stdout) as unknown as Said), text: text.stdout.replace(/\s+/g, ' ') }
}

suite('a server that does not know a command', { concurrency: 2 }, () => {
  for (const [command, neededFor, ...args] of [
    ['XTRIM', 'every sweep'],
    ['XLEN', 'every sweep'],
    ['XRANGE', '--max-age'],
    ['EVAL', '--trim exact, --max-bytes, --protect', '--trim exact'],
    ['EVAL', '--trim exact, --max-bytes, --protect', '--protect unread'],
    ['EVAL', '--trim exact, --max-bytes, --protect', '--max-bytes 8kb --max-age off'],
    ['XINFO GROUPS', '--max-bytes, --protect', '--protect unread'],
    ['XPENDING', '--protect', '--protect unacked'],
    ['MEMORY USAGE', '--max-bytes', '--max-bytes 8kb'],
  ] as const) {
    test(`without ${command} a sweep${args.map((arg) => ` ${arg}`).join('')} says that the server does not know it, not that the ACL forbids it`, async (t) => {
      const redis = await startWithout(t, [command.split(' ')[0] ?? ''])
      if (args[0] === '--protect unread' && command === 'EVAL')
        await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '900', 'STREAMS', KEY, '>')
      const said = await run(redis, 'sweep', ...args.flatMap((arg) => arg.split(' ')))
      assert.notEqual(said.result, 'success')
      assert.match(said.reason ?? '', new RegExp(`ERR unknown command '${command.split(' ')[0]}'$`))
      assert.deepEqual(Object.keys(said.missing), [command])
      assert.match(said.missing[command] ?? '', new RegExp(`^${neededFor}.*; the server does not know it$`))
      assert.doesNotMatch(said.text, /the ACL/)
    })
  }

  test('without EVAL_RO, as before Redis 7.0, a sweep and a plan work as well and say nothing of it', async (t) => {
    const redis = await startWithout(t, ['EVAL_RO'])
    const planned = await run(redis, 'plan', '--trim', 'exact')
    assert.deepEqual([planned.result, planned.missing], ['success', {}])
    const swept = await run(redis, 'sweep', '--trim', 'exact')
    assert.deepEqual([swept.result, swept.missing], ['success', {}])
    assert.equal(await redis.command('XLEN', KEY), 1)
  })

  test('without INFO, XINFO or MULTI a sweep does its work and says what is lost', async (t) => {
    for (const [command, told, neededFor] of [
      ['INFO', 'INFO', 'xtrimd_redis_memory_used_bytes'],
      ['XINFO', 'XINFO GROUPS', 'xtrimd_entries_trimmed_unread_total'],
      ['MULTI', 'MULTI', 'xtrimd_entries_trimmed_unread_total'],
      ['EXEC', 'EXEC', 'xtrimd_entries_trimmed_unread_total'],
    ] as const) {
      const redis = await startWithout(t, [command])
      const { result, missing } = await run(redis, 'sweep')
      assert.deepEqual([result, missing], ['success', { [told]: `${neededFor}; the server does not know it` }])
      assert.ok(Number(await redis.command('XLEN', KEY)) < 100)
    }
  })

  test('without SCAN, TIME or CLUSTER the reason says what needs it', async (t) => {
    for (const [command, reason, ...args] of [
      ['SCAN', 'the server does not know SCAN, which every sweep needs'],
      ['TIME', 'the server does not know TIME, which every sweep needs'],
      [
        'CLUSTER',
        'the server does not know CLUSTER SLOTS, which --redis-mode cluster needs',
        ...['--redis-mode', 'cluster'],
      ],
    ] as const) {
      const redis = await startRedis(t, renamed(t, [command]))
      const said = await run(redis, 'plan', ...args)
      assert.deepEqual([said.result, said.reason], ['failed', reason])
    }
  })

  test('without AUTH the reason does not repeat the password', async (t) => {
    const redis = await startRedis(t, renamed(t, ['AUTH']))
    const { code, stdout, stderr } = await runXtrimd([
      'sweep',
      '--redis-url',
      redis.url.replace('//', '//:troubadour@'),
    ])
    assert.equal(code, 1)
    assert.match(stdout, /^failed \(ERR unknown command 'AUTH'\)/)
    assert.doesNotMatch(stdout + stderr, /troubadour/)
  })

  test('without a command of the lease the daemon names it and the cure, and sweeps with --lease=false', async (t) => {
    for (const [command, told] of [
      ['EVAL', 'EVAL'],
      ['PEXPIRE', null],
      ['GET', 'one of GET, SET, PTTL, PEXPIRE and DEL'],
    ] as const) {
      const redis = await startWithout(t, [command])
      const args = ['--redis-url', redis.url, ...HARDLY_EVER]
      const daemon = await startDaemon(t, args)
      const line = await daemon.waitForLog('sweep')
      if (told === null) assert.equal(line.result, 'success', 'a lease that is free needs no PEXPIRE')
      else {
        const reason = `the server does not know ${told}, which --lease needs: set --lease=false if only one copy runs`
        assert.deepEqual([line.result, line.reason], ['failed', reason])
        assert.equal((await daemon.waitForLog('could not acquire the lease')).reason, reason)
      }
      assert.doesNotMatch(daemon.stdout, LEAKED)
      const alone = await startDaemon(t, [...args, '--lease=false'])
      assert.equal((await alone.waitForLog('sweep')).result, 'success')
    }
  })

  test('the daemon tells apart what the ACL forbids and what the server does not know, also between sweeps', async (t) => {
    const redis = await startWithout(t, ['XINFO', 'CONFIG', 'INFO'])
    const args = ['--redis-url', redis.url, '--lease=false', ...HARDLY_EVER]
    const daemon = await startDaemon(t, [...args, '--watch', '--pressure', '1gb'])
    const line = await daemon.waitForLog(({ command }) => command === 'XINFO GROUPS')
    assert.equal(line.msg, 'the server does not know a command')
    const limited = await daemon.waitForLog('watch limited')
    assert.match(String(limited.reason), /^cannot check .*\(ERR unknown command 'CONFIG'\)$/)
    const unread = await daemon.waitForLog('could not read memory')
    assert.equal(unread.reason, 'the server does not know INFO, which --pressure needs')

    const mute = await startRedis(t, renamed(t, ['SUBSCRIBE']))
    const deaf = await startDaemon(t, [
      '--redis-url',
      mute.url,
      '--lease=false',
      ...HARDLY_EVER,
      '--watch',
      '--watch-configure',
    ])
    const stopped = await deaf.waitForLog(({ reason }) => String(reason).includes('SUBSCRIBE'))
    assert.equal(stopped.reason, 'the server does not know SUBSCRIBE, which --watch needs')

    // The control: the same command, known and forbidden.
    const other = await startRedis(t)
    await fillStream(other, KEY, { count: 1_030, from: (await redisNow(other)) - 48 * HOUR, stepMs: 1, bytes: 10 })
    await other.command('ACL', 'SETUSER', 'default', '-xinfo')
    const control = await startDaemon(t, ['--redis-url', other.url, '--lease=false', ...HARDLY_EVER])
    const denied = await control.waitForLog(({ command }) => command === 'XINFO GROUPS')
    assert.equal(denied.msg, 'the ACL does not allow a command')
  })
})

test('the wordings of all servers are known, and none lets arguments through', () => {
  for (const message of [
    "ERR unknown command 'EVAL', with args beginning with: 'local x = 1' '1' 'key' ",
    'ERR unknown command `EVAL`, with args beginning with: `local x = 1`, `1`, `key`, ',
    "ERR unknown command 'eval'",
  ]) {
    const { isUnknownCommand, message: told, word } = new Refusal(message)
    assert.deepEqual([isUnknownCommand, told, word], [true, "ERR unknown command 'EVAL'", 'ERR'])
  }
  for (const message of [
    'ERR Unknown Redis command called from script script: 63889d34e9c1, on @user_script:1.',
    'ERR Unknown command called from script script: on @user_script:1.',
    'ERR Error running script (call to f_63889d34e9c1): @user_script:1: Unknown Redis command called from Lua script ',
  ]) {
    const { isUnknownCommand, message: told } = new Refusal(message)
    assert.deepEqual([isUnknownCommand, told], [true, 'ERR unknown command called from a script'])
  }
  assert.equal(new Refusal("ERR unknown subcommand 'USAGE'. Try MEMORY HELP.").isUnknownCommand, true)
  for (const message of ['ERR no such key', "NOPERM this user has no permissions to run the 'eval' command"]) {
    assert.deepEqual([new Refusal(message).isUnknownCommand, new Refusal(message).message], [false, message])
  }
})

/** A Redis that cannot write its snapshot, and so refuses writes once it is told to. */

import { mkdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

const FILE = 'snapshot'

/** Settings of a server that `breakSnapshots` is for. It accepts writes all the same until this setting is `yes`. */
export const SNAPSHOTS = { save: '3600 1', dbfilename: FILE, 'stop-writes-on-bgsave-error': 'no' } as const

/** Puts a folder where the snapshot is to be, and lets Redis find out. @returns what takes it away again */
export async function breakSnapshots(redis: RedisServer): Promise<() => Promise<void>> {
  const folder = join(dirname(redis.socketPath), FILE)
  await mkdir(folder)
  await saveUntil(redis, 'err')
  return async () => {
    await rmdir(folder)
    await saveUntil(redis, 'ok')
  }
}

/** Lets Redis save in the background until it says so of the last time. */
async function saveUntil(redis: RedisServer, status: 'ok' | 'err'): Promise<void> {
  await waitUntil(
    async () => {
      const info = String(await redis.command('INFO', 'persistence'))
      if (/^rdb_bgsave_in_progress:1/m.test(info)) return false
      if (new RegExp(`^rdb_last_bgsave_status:${status}`, 'm').test(info)) return true
      await redis.command('BGSAVE')
      return false
    },
    { timeoutMs: 60_000, what: `a snapshot to be ${status}` },
  )
}

/** A Redis that cannot write its snapshot, and therefore can refuse writes. */

import { mkdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

const FILE = 'snapshot'

/** Settings for a server to use with `breakSnapshots`. It accepts writes until `stop-writes-on-bgsave-error` is set to `yes`. */
export const SNAPSHOTS = { save: '3600 1', dbfilename: FILE, 'stop-writes-on-bgsave-error': 'no' } as const

/** Puts a folder in place of the snapshot file, and waits until saving fails. @returns a function that repairs it */
export async function breakSnapshots(redis: RedisServer): Promise<() => Promise<void>> {
  const folder = join(dirname(redis.socketPath), FILE)
  await mkdir(folder)
  await saveUntil(redis, 'err')
  return async () => {
    await rmdir(folder)
    await saveUntil(redis, 'ok')
  }
}

/** Makes Redis save in the background until the last save has this status. */
async function saveUntil(redis: RedisServer, status: 'ok' | 'err'): Promise<void> {
  await waitUntil(
    async () => {
      const info = String(await redis.command('INFO', 'persistence'))
      if (/^rdb_bgsave_in_progress:1/m.test(info)) return false
      if (new RegExp(`^rdb_last_bgsave_status:${status}`, 'm').test(info)) return true
      await redis.command('BGSAVE')
      return false
    },
    { timeoutMs: 60_000, what: `the status of a snapshot to be ${status}` },
  )
}

/** Tests of what servers do differently run on each of them. */

import { existsSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DEFAULT_SERVER, type RedisServer, startRedis } from './redis_server.ts'

/** Looked for in `TEST_REDIS_SERVERS`, a list of folders like `PATH`, and then in `PATH`. */
const NEWER = ['redis-server-8.0', 'valkey-server-8.1', 'valkey-server-9.1']

const FOLDERS = [process.env.TEST_REDIS_SERVERS, process.env.PATH].flatMap((path) => (path ?? '').split(delimiter))

/** The default one, and the newer ones that are there. */
export const SERVERS: readonly string[] = [
  ...new Set([
    DEFAULT_SERVER,
    ...NEWER.flatMap((name) => FOLDERS.map((folder) => join(folder, name)).find(existsSync) ?? []),
  ]),
]

/** One test for each server. */
export function testOnEach(
  title: string,
  run: (t: TestContext, redis: RedisServer) => Promise<void>,
  config: Readonly<Record<string, string>> = {},
): void {
  for (const program of SERVERS) {
    test(`${title} (${basename(program)})`, async (t) => run(t, await startRedis(t, { program, config })))
  }
}

/**
 * What managed services block by their documentation, and a real server that blocks the same. docs/managed-redis.md shows both;
 * a test holds the page to it.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryFolder } from './files.ts'
import { type RedisServer, startRedis } from './redis_server.ts'

export interface Service {
  /** As the page names it. */
  readonly name: string
  /** Commands that the service does not know. */
  readonly blocked: readonly string[]
  /** Subcommands that it does not know, although it knows others of the same command. */
  readonly blockedParts?: readonly string[]
}

const words = (text: string): string[] => text.trim().split(/\s+/)

export const SERVICES: readonly Service[] = [
  {
    // Together, because xtrimd can use only one of all these commands.
    name: 'ElastiCache, MemoryDB, Azure Cache',
    blocked: words(`BGREWRITEAOF BGSAVE CONFIG DEBUG MIGRATE MODULE PSYNC REPLICAOF SAVE SHUTDOWN SLAVEOF SYNC`),
    blockedParts: words(`acl|deluser acl|load acl|save acl|setuser cluster|addslots cluster|delslots cluster|setslot`),
  },
  {
    name: 'Memorystore',
    blocked:
      words(`ACL BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DEBUG LASTSAVE MIGRATE MONITOR OBJECT REPLICAOF
      SAVE SHUTDOWN`),
  },
  {
    name: 'Redis Cloud, Azure Managed Redis',
    blocked: words(`BGREWRITEAOF BGSAVE DEBUG FAILOVER LASTSAVE MIGRATE PSYNC REPLCONF REPLICAOF RESET ROLE SAVE SELECT
      SHUTDOWN SLAVEOF SWAPDB SYNC`),
    blockedParts: words(`acl|deluser acl|genpass acl|load acl|log acl|save acl|setuser client|no-evict client|pause
      client|tracking config|resetstat memory|doctor memory|purge memory|stats`),
  },
  {
    name: 'Upstash',
    blocked:
      words(`BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DEBUG EVAL_RO FAILOVER INFO LASTSAVE LATENCY MEMORY
      MIGRATE MODULE MONITOR OBJECT PSYNC REPLCONF REPLICAOF ROLE SAVE SHUTDOWN SLAVEOF SLOWLOG SWAPDB SYNC`),
    blockedParts: words(`xinfo|stream`),
  },
]

/**
 * A server that knows as little as the service. It answers `unknown command` to a command, and `NOPERM` to a part of one,
 * because Redis can rename whole commands only. Services that block CONFIG have a setting of their own for keyspace
 * notifications, so they may be on from the start.
 */
export async function startLike(
  t: TestContext,
  { blocked, blockedParts = [] }: Service,
  notifies: boolean,
): Promise<RedisServer> {
  const include = join(temporaryFolder(t, 'service'), 'service.conf')
  const user = `user default on nopass ~* &* +@all ${blockedParts.map((part) => `-${part}`).join(' ')}`
  writeFileSync(include, [...blocked.map((command) => `rename-command ${command} ""`), user, ''].join('\n'))
  return await startRedis(t, { config: { include, 'notify-keyspace-events': notifies ? 'Et' : '' } })
}

/** The commands of a service's list that some feature of xtrimd uses, by the rules that features need. */
export function usedOf({ blocked, blockedParts = [] }: Service, rules: readonly string[]): string[] {
  const used = new Set(rules.flatMap((rule) => rule.split(' ')).filter((rule) => rule.startsWith('+')))
  const isUsed = (name: string): boolean =>
    [...used].some((rule) => rule === `+${name}` || rule.startsWith(`+${name}|`))
  return [...blocked, ...blockedParts]
    .filter((name) => isUsed(name.toLowerCase()))
    .map((name) => name.toUpperCase().replace('|', ' '))
}

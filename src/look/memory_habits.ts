/** Learns from a server what it does with the memory of streams. */

import type { MemoryHabits } from '../entries/entry_bytes.ts'
import type { NodeRule, Rounding } from '../entries/stream_nodes.ts'
import type { Ask } from '../redis/ask.ts'
import type { Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { fieldsOf } from './fields.ts'

/** Tells what the server does with memory; asks it the first time only. */
export type Habits = () => Promise<MemoryHabits>

/** What the server behind `ask` does with memory. */
export function memoryHabits(ask: Ask): Habits {
  let habits: Promise<MemoryHabits> | undefined
  return () => {
    habits ??= readMemoryHabits(ask)
    return habits
  }
}

/** Asks what this server does with memory. What it does not tell is assumed so that entries seem smaller. */
async function readMemoryHabits(ask: Ask): Promise<MemoryHabits> {
  const [server, memory, config] = await ask([
    ['INFO', 'server'],
    ['INFO', 'memory'],
    ['CONFIG', 'GET', 'stream-node-max-*'],
  ])
  const version = server instanceof Refusal ? await versionSaid(ask) : versionIn(String(server))
  return { treeCount: treeCountOf(version), rounding: roundingOf(memory), rule: ruleOf(config) }
}

/** The version of a Redis, such as `7.0.15`; null of Valkey, and where it is not known. */
function versionIn(info: string): string | null {
  const isValkey = /^(?:valkey_version|server_name:valkey)/m.test(info)
  return isValkey ? null : (/^redis_version:(\S+)/m.exec(info)?.[1] ?? null)
}

/** The same for a user who may not call `INFO`: everybody may say `HELLO`. */
async function versionSaid(ask: Ask): Promise<string | null> {
  const [hello] = await ask([['HELLO']])
  const told = fieldsOf(hello ?? null)
  return String(told.get('server')) === 'redis' ? String(told.get('version')) : null
}

/** Redis counts what a tree takes from 8.2 on, and so does Valkey. */
function treeCountOf(version: string | null): MemoryHabits['treeCount'] {
  if (version === null) return 'as allocated'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major * 100 + minor < 802 ? 'by rule' : 'as allocated'
}

/** By the allocator's name, such as `jemalloc-5.3.0`. */
function roundingOf(info: Reply | undefined): Rounding {
  const version = /^mem_allocator:jemalloc-(\d+)\.(\d+)\.(\d+)/m.exec(String(info))?.slice(1).map(Number)
  if (version === undefined) return 'none'
  const [major = 0, minor = 0, patch = 0] = version
  return major * 10_000 + minor * 100 + patch > 50_300 ? 'paged' : 'coarse'
}

function ruleOf(config: Reply | undefined): NodeRule | null {
  if (config instanceof Refusal) return null
  const told = fieldsOf(config ?? null)
  const [maxEntries, maxBytes] = ['stream-node-max-entries', 'stream-node-max-bytes'].map((name) =>
    Number(told.get(name)),
  )
  return Number.isInteger(maxEntries) && Number.isInteger(maxBytes) ? ({ maxEntries, maxBytes } as NodeRule) : null
}

/** A limit on memory that the kernel enforces, as a container has one: a control group of version 2 or 1. */

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { waitUntil } from './waiting.ts'

export interface MemoryGroup {
  /** Starts a program in the group. */
  spawn(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): ChildProcess
  /** How many processes the kernel has killed because of the limit. */
  kills(): number
  /** The most memory that was charged to the group, page cache included, in bytes; null where the kernel does not tell. */
  peakBytes(): number | null
}

interface Files {
  readonly root: string
  readonly limit: string
  readonly peak: string
  readonly kills: string
}

const VERSIONS: readonly (Files & { readonly isThere: string })[] = [
  {
    root: '/sys/fs/cgroup',
    isThere: '/sys/fs/cgroup/cgroup.subtree_control',
    limit: 'memory.max',
    peak: 'memory.peak',
    kills: 'memory.events',
  },
  {
    root: '/sys/fs/cgroup/memory',
    isThere: '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    kills: 'memory.oom_control',
  },
]

let groups = 0

/** Makes a group with this limit, which ends with the test. Null where this machine does not let us. */
export function limitMemory(t: TestContext, bytes: number): MemoryGroup | null {
  const files = VERSIONS.find(({ isThere }) => existsSync(isThere))
  if (files === undefined) return null
  const folder = join(files.root, `xtrimd-test-${process.pid}-${++groups}`)
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  try {
    mkdirSync(folder)
    writeFileSync(join(folder, files.limit), String(bytes))
  } catch {
    return null
  }
  const children: ChildProcess[] = []
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    const isEmpty = (): boolean => read('cgroup.procs').trim() === ''
    await waitUntil(isEmpty, { timeoutMs: 30_000, what: 'the processes of the group to end' })
    rmdirSync(folder)
  })
  return {
    spawn(command, args, env = process.env) {
      const enter = 'echo $$ > "$0" && exec "$@"'
      const child = spawn('sh', ['-c', enter, join(folder, 'cgroup.procs'), command, ...args], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      children.push(child)
      return child
    },
    kills: () => Number(/^oom_kill (\d+)$/m.exec(read(files.kills))?.[1] ?? 0),
    peakBytes: () => (existsSync(join(folder, files.peak)) ? Number(read(files.peak)) : null),
  }
}

/** Runs the foreground writer as a process, and computes how long its writes waited in given stretches of time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atExit } from '../scripts/stage/undo.ts'

const WRITER = fileURLToPath(new URL('writer.ts', import.meta.url))

/** In ms since 1970. */
export type Stretch = readonly [from: number, to: number]

export interface Waits {
  readonly samples: number
  /** In ms. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface Foreground {
  /** Stops writing. The returned function tells how long the writes that were due in the stretches waited. */
  end(): Promise<(stretches: readonly Stretch[]) => Waits>
}

export async function startForeground(socketPath: string): Promise<Foreground> {
  const child = spawn(process.execPath, [WRITER, socketPath], { stdio: ['pipe', 'pipe', 'inherit'] })
  atExit(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const ready = await lines.next()
  if (ready.value !== 'ready') throw new Error('the foreground writer did not start')
  return {
    async end() {
      const ended = once(child, 'exit')
      child.stdin.end()
      const told = JSON.parse((await lines.next()).value ?? '') as {
        firstMs: number
        everyMs: number
        latencies: number[]
      }
      await ended
      return (stretches) => waitsIn(stretches, told)
    },
  }
}

/** Now, in ms since 1970, on the clock that the writer uses too. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}

function waitsIn(
  stretches: readonly Stretch[],
  { firstMs, everyMs, latencies }: { firstMs: number; everyMs: number; latencies: readonly number[] },
): Waits {
  const within = stretches.flatMap(([from, to]) =>
    latencies.slice(
      Math.max(0, Math.ceil((from - firstMs) / everyMs)),
      Math.max(0, Math.ceil((to - firstMs) / everyMs)),
    ),
  )
  const sorted = within.sort((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { samples: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) }
}

/** A real Prometheus that scrapes a daemon every second. */

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { askPrometheus, launchPrometheus } from '../../scripts/stage/prometheus.ts'
import type { Labels } from './exposition.ts'
import { waitUntil } from './waiting.ts'

export interface Sample {
  readonly labels: Labels
  readonly value: number
}

export interface Prometheus {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Evaluates an instant query now. */
  query(promql: string): Promise<Sample[]>
  /** Polls for up to a minute until the query has a single result that satisfies the predicate. @returns the value */
  waitForValue(promql: string, predicate: (value: number) => boolean): Promise<number>
}

/**
 * Starts Prometheus with these targets. It evaluates the rules of a rule file, if given, every second. When the test ends
 * it is killed and its data is removed.
 */
export async function startPrometheus(
  t: TestContext,
  ports: number | readonly number[],
  rules?: string,
): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-prometheus-'))
  const targets = Object.fromEntries([ports].flat().map((port) => [`127.0.0.1:${port}`, port]))
  const { process: server, url, ready } = await launchPrometheus(folder, targets, rules)
  const closed = once(server, 'close').catch(() => {})
  t.after(async () => {
    server.kill('SIGKILL')
    await closed
    await rm(folder, { recursive: true, force: true })
  })
  await ready

  const query: Prometheus['query'] = async (promql) => {
    const series = await askPrometheus(url, 'query', { query: promql })
    return series.map(({ labels, points }) => ({ labels, value: points[0]?.[1] ?? Number.NaN }))
  }
  return {
    url,
    query,
    async waitForValue(promql, predicate) {
      let last: readonly Sample[] = []
      try {
        await waitUntil(
          async () => {
            last = await query(promql)
            const [only] = last
            return last.length === 1 && only !== undefined && predicate(only.value)
          },
          { timeoutMs: 60_000, what: promql, everyMs: 100 },
        )
      } catch (error) {
        throw new Error(`${(error as Error).message}; last answer: ${JSON.stringify(last)}`, { cause: error })
      }
      return last[0]?.value ?? Number.NaN
    },
  }
}

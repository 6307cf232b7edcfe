/** A real Prometheus that scrapes a daemon every second. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import type { Labels } from './exposition.ts'
import { waitUntil } from './waiting.ts'

export interface Sample {
  readonly labels: Labels
  readonly value: number
}

export interface Prometheus {
  /** What an instant query answers now. */
  query(promql: string): Promise<Sample[]>
  /** Asks again and again until the query has one answer and the predicate likes it (a minute); returns it. */
  waitForValue(promql: string, predicate: (value: number) => boolean): Promise<number>
}

/**
 * Starts Prometheus with one target, and with the rules of a rule file's text if given, evaluated every second; it is
 * killed and what it stored is removed when the test ends.
 */
export async function startPrometheus(t: TestContext, targetPort: number, rules?: string): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  const target = `127.0.0.1:${targetPort}`
  const jobs = [{ job_name: 'xtrimd', static_configs: [{ targets: [target] }] }]
  if (rules !== undefined) await writeFile(join(folder, 'rules.yml'), rules)
  const settings = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: rules === undefined ? [] : ['rules.yml'],
    scrape_configs: jobs,
  }
  // JSON is YAML.
  await writeFile(config, JSON.stringify(settings))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const closed = once(child, 'close')
  closed.catch((error: Error) => {
    said += `prometheus (Debian's package of that name) could not be started: ${error.message}`
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await closed.catch(() => {})
    await rm(folder, { recursive: true, force: true })
  })
  await waitUntil(
    async () => {
      if (child.pid === undefined || child.exitCode !== null) throw new Error(`prometheus ended:\n${said}`)
      return await fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(20_000) }).then(
        ({ ok }) => ok,
        () => false,
      )
    },
    { timeoutMs: 60_000, what: 'prometheus to be ready' },
  )

  const query: Prometheus['query'] = async (promql) => {
    const asked = `${url}/api/v1/query?query=${encodeURIComponent(promql)}`
    const answer = (await (await fetch(asked, { signal: AbortSignal.timeout(20_000) })).json()) as {
      readonly status: string
      readonly error?: string
      readonly data: { readonly result: readonly { readonly metric: Labels; readonly value: [number, string] }[] }
    }
    if (answer.status !== 'success') throw new Error(`${promql}: ${answer.error}`)
    return answer.data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }))
  }
  return {
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

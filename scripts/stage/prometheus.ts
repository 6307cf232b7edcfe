/** A Prometheus of one's own, that scrapes copies of the program every second. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from './free_port.ts'
import { atExit } from './undo.ts'

export interface Series {
  readonly labels: Readonly<Record<string, string>>
  /** Seconds since 1970, and the value then. */
  readonly points: readonly (readonly [seconds: number, value: number])[]
}

export interface Prometheus {
  /** What the query answers at that moment: one point a series. */
  query(promql: string, atSeconds: number): Promise<Series[]>
  queryRange(promql: string, fromSeconds: number, toSeconds: number, stepSeconds: number): Promise<Series[]>
}

const START_ATTEMPTS = 200

/** Scrapes the copies, each under the name it is given. @throws when prometheus is not there or does not become ready */
export async function startPrometheus(portsByName: Readonly<Record<string, number>>): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-prometheus-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const config = {
    global: { scrape_interval: '1s' },
    scrape_configs: [
      {
        job_name: 'xtrimd',
        static_configs: Object.entries(portsByName).map(([instance, port]) => ({
          targets: [`127.0.0.1:${port}`],
          labels: { instance },
        })),
      },
    ],
  }
  const file = join(folder, 'prometheus.yml')
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config))
  const port = await freePort()
  const server = spawn(
    'prometheus',
    [`--config.file=${file}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`],
    { stdio: 'ignore' },
  )
  atExit(() => server.kill('SIGKILL'))
  const lost = once(server, 'exit').then(
    () => Promise.reject(new Error('prometheus ended by itself')),
    (cause) => Promise.reject(new Error('prometheus cannot be started', { cause })),
  )
  const url = `http://127.0.0.1:${port}`
  const ready = async (): Promise<void> => {
    for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
      if (
        await fetch(`${url}/-/ready`)
          .then(({ ok }) => ok)
          .catch(() => false)
      )
        return
      await pause(100)
    }
    throw new Error('prometheus does not become ready')
  }
  await Promise.race([ready(), lost])
  // From here on a query tells that it is gone.
  lost.catch(() => {})

  return {
    query: (promql, atSeconds) => ask(`${url}/api/v1/query`, { query: promql, time: `${atSeconds}` }),
    queryRange: (promql, from, to, step) =>
      ask(`${url}/api/v1/query_range`, { query: promql, start: `${from}`, end: `${to}`, step: `${step}` }),
  }
}

interface Answer {
  readonly status: string
  readonly error?: string
  readonly data: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>
      readonly value?: readonly [number, string]
      readonly values?: readonly (readonly [number, string])[]
    }[]
  }
}

async function ask(url: string, parameters: Readonly<Record<string, string>>): Promise<Series[]> {
  const answer = (await (await fetch(`${url}?${new URLSearchParams(parameters)}`)).json()) as Answer
  if (answer.status !== 'success') throw new Error(`${parameters.query}: ${answer.error}`)
  return answer.data.result.map(({ metric, value, values }) => ({
    labels: metric,
    points: (values ?? (value ? [value] : [])).map(([seconds, text]) => [seconds, Number(text)] as const),
  }))
}

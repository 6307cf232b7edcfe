/** A Prometheus of one's own, that scrapes copies of the program every second. */

import { type ChildProcess, spawn } from 'node:child_process'
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

const READY_WITHIN_MS = 60_000

/** Scrapes the copies, each under the name it is given. @throws when prometheus is not there or does not become ready */
export async function startPrometheus(portsByName: Readonly<Record<string, number>>): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-prometheus-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const { process: server, url, ready } = await launchPrometheus(folder, portsByName)
  atExit(() => server.kill('SIGKILL'))
  await ready
  return prometheusAt(url)
}

/** One that runs already. */
export function prometheusAt(url: string): Prometheus {
  return {
    query: (promql, atSeconds) => askPrometheus(url, 'query', { query: promql, time: `${atSeconds}` }),
    queryRange: (promql, from, to, step) =>
      askPrometheus(url, 'query_range', { query: promql, start: `${from}`, end: `${to}`, step: `${step}` }),
  }
}

export interface PrometheusProcess {
  readonly process: ChildProcess
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Rejects, with what it said, when it is not there, ends, or does not become ready. */
  readonly ready: Promise<void>
}

/**
 * Starts it with all that is its own in this folder: the copies are scraped every second, each under the name it is given,
 * and the rules of a rule file's text, if there are any, are evaluated as often. Ending it is the caller's.
 */
export async function launchPrometheus(
  folder: string,
  portsByName: Readonly<Record<string, number>>,
  rules?: string,
): Promise<PrometheusProcess> {
  if (rules !== undefined) writeFileSync(join(folder, 'rules.yml'), rules)
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: rules === undefined ? [] : ['rules.yml'],
    scrape_configs: [
      {
        job_name: 'xtrimd',
        static_configs: Object.entries(portsByName).map(([instance, port]) => ({
          targets: [`127.0.0.1:${port}`],
          // As the operator has it for the pods of a namespace.
          labels: { instance, namespace: 'chat' },
        })),
      },
    ],
  }
  const file = join(folder, 'prometheus.yml')
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config))
  const port = await freePort()
  const child = spawn(
    'prometheus',
    [`--config.file=${file}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const lost = once(child, 'close').then(
    () => Promise.reject(new Error(`prometheus ended:\n${said}`)),
    (cause) => Promise.reject(new Error("prometheus, Debian's package of that name, cannot be started", { cause })),
  )
  const url = `http://127.0.0.1:${port}`
  const ready = Promise.race([untilReady(url), lost])
  // They are told to who waits for it; once it is ready, a query tells that it is gone.
  ready.catch(() => {})
  return { process: child, url, ready }
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  while (performance.now() < deadline) {
    const isReady = await fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(20_000) }).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) return
    await pause(50)
  }
  throw new Error('prometheus does not become ready')
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

/** What the Prometheus at this address answers. @throws where it refuses the query, or is silent for 20 s */
export async function askPrometheus(
  url: string,
  how: 'query' | 'query_range',
  parameters: Readonly<Record<string, string>>,
): Promise<Series[]> {
  const asked = `${url}/api/v1/${how}?${new URLSearchParams(parameters)}`
  const answer = (await (await fetch(asked, { signal: AbortSignal.timeout(20_000) })).json()) as Answer
  if (answer.status !== 'success') throw new Error(`${parameters.query}: ${answer.error}`)
  return answer.data.result.map(({ metric, value, values }) => ({
    labels: metric,
    points: (values ?? (value ? [value] : [])).map(([seconds, text]) => [seconds, Number(text)] as const),
  }))
}

/** A private Prometheus that scrapes copies of the program every second. */

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
  /** The answer for one moment: each series has one point. */
  query(promql: string, atSeconds: number): Promise<Series[]>
  queryRange(promql: string, fromSeconds: number, toSeconds: number, stepSeconds: number): Promise<Series[]>
}

const READY_WITHIN_MS = 60_000

/** Scrapes each copy under its name. @throws if prometheus is not installed or does not become ready */
export async function startPrometheus(portsByName: Readonly<Record<string, number>>): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-prometheus-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const { process: server, url, ready } = await launchPrometheus(folder, portsByName)
  atExit(() => server.kill('SIGKILL'))
  await ready
  return prometheusAt(url)
}

/** A Prometheus that already runs. */
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
  /** Rejects if it is not installed, ends or does not become ready; the error shows its output. */
  readonly ready: Promise<void>
}

/**
 * Starts Prometheus with its data in `folder`. It scrapes each copy under its name every second and evaluates `rules`, the
 * text of a rule file, as often. The caller must end it.
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
          // The Prometheus operator adds such a label too.
          labels: { instance, namespace: 'chat' },
        })),
      },
    ],
  }
  const file = join(folder, 'prometheus.yml')
  // Every JSON document is also YAML.
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
    () => Promise.reject(new Error(`prometheus ended unexpectedly:\n${said}`)),
    (cause) => Promise.reject(new Error("could not start prometheus (Debian's package has the same name)", { cause })),
  )
  const url = `http://127.0.0.1:${port}`
  const ready = Promise.race([untilReady(url), lost])
  // Callers that await it see the error. Once Prometheus is ready, a failing query shows that it has ended.
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
  throw new Error('prometheus did not become ready')
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

/** Asks the Prometheus at this address. @throws if it rejects the query or does not answer within 20 s */
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

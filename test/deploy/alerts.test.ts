/** The alerting rules: each fires when it should and is silent when it should be, in promtool and in a real Prometheus. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { repository } from '../harness/checkout.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { startDaemon } from '../harness/program.ts'
import { startPrometheus } from '../harness/prometheus.ts'
import { startRedis } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'
import { H, SCENARIOS, type Scenario } from './alert_scenarios.ts'

const RULES = readFileSync(join(ROOT, 'k8s/monitoring/alerts.yaml'), 'utf8')

interface Rule {
  readonly alert?: string
  expr: string
  for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: Rule[] }[]
}

const readRules = (): RuleFile => parse(RULES) as RuleFile
const alertsOf = (file: RuleFile): Rule[] =>
  file.groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined)
const ALERTS = alertsOf(readRules())

const lastLook = ({ firing }: Scenario): number => Math.max(...Object.keys(firing).map(Number))

/** promtool's input for some scenarios: at each given minute, exactly these alerts must fire. */
function promtoolTests(scenarios: readonly Scenario[], evaluateEvery: string): unknown {
  return {
    rule_files: ['rules.yaml'],
    evaluation_interval: evaluateEvery,
    tests: scenarios.map(({ alert, when, copies, firing }) => ({
      name: `${alert}: ${when}`,
      interval: '1m',
      input_series: Object.entries(copies).flatMap(([place, copy]) => {
        const [instance, namespace = 'chat', job = `${namespace}/xtrimd`] = place.split('/').reverse()
        return Object.entries(copy).map(([metric, values]) => {
          const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(metric) ?? []
          const target = `namespace="${namespace}",job="${job}",instance="${instance}"`
          return { series: `${name}{${target}${labels && `,${labels}`}}`, values }
        })
      }),
      promql_expr_test: Object.entries(firing).map(([minute, names]) => ({
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: `${minute}m`,
        exp_samples: names.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
      })),
    })),
  }
}

/** Runs promtool at low priority: it computes for a long time, and other tests have deadlines. */
async function promtool(t: TestContext, args: readonly string[], files: Readonly<Record<string, string>>) {
  const folder = temporaryFolder(t, 'promtool')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  // Collecting garbage at Go's usual rate takes a third of its time.
  const how = { cwd: folder, timeout: 300_000, env: { ...process.env, GOGC: '400' } }
  const running = promisify(execFile)('nice', ['promtool', ...args], how)
  const ended = await running.catch((error: { code: unknown; stdout: string; stderr: string }) => {
    if (typeof error.code !== 'number') throw error
    return error
  })
  return { status: 'code' in ended ? ended.code : 0, said: ended.stdout + ended.stderr }
}

/** Every minute at which the wrong alerts fire. */
async function failures(t: TestContext, rules: string, scenarios: readonly Scenario[]): Promise<string> {
  // Evaluating a day minute by minute would take as long as all other scenarios together.
  const long = scenarios.filter((scenario) => lastLook(scenario) > 10 * H)
  const short = scenarios.filter((scenario) => !long.includes(scenario))
  const { status, said } = await promtool(t, ['test', 'rules', 'short.yaml', 'long.yaml'], {
    'rules.yaml': rules,
    'short.yaml': JSON.stringify(promtoolTests(short, '1m')),
    'long.yaml': JSON.stringify(promtoolTests(long, '5m')),
  })
  return status === 0 ? '' : said
}

/** The rules with all ranges and waits scaled down from a sweep every hour to one every three seconds. */
const IN_SECONDS: Readonly<Record<string, string>> = {
  '[1d:1m]': '[30s:1s]',
  '[1d]': '[30s]',
  'for: 20m': 'for: 5s',
  'for: 5m': 'for: 4s',
  'for: 15m': 'for: 4s',
}

// The test with a real Prometheus mostly waits, while promtool computes.
suite('the rules at work', { concurrency: 2 }, () => {
  test('Prometheus alerts when Redis is killed, not before, and the alerts end when Redis is back', async (t) => {
    const rules = Object.entries(IN_SECONDS).reduce((text, [long, short]) => {
      assert.ok(text.includes(long), `${long} is in the rules`)
      return text.replaceAll(long, short)
    }, RULES)
    const redis = await startRedis(t)
    const args = ['--redis-url', redis.url, '--cron', '*/3 * * * * *', '--lease-ttl', '5s', '--reply-timeout', '1s']
    const daemon = await startDaemon(t, args)
    const prometheus = await startPrometheus(t, daemon.port, rules)
    const firing = async (): Promise<string[]> => {
      const alerts = await prometheus.query('ALERTS{alertstate="firing"}')
      return alerts.map(({ labels }) => labels.alertname ?? '').sort()
    }

    // Before its first scrape the daemon counts as absent. After that nothing may fire for several periods.
    await prometheus.waitForValue('count_over_time(xtrimd_build_info[1m])', (scrapes) => scrapes >= 3)
    await waitUntil(async () => (await firing()).length === 0, { timeoutMs: 60_000, what: 'silence at first' })
    const quietFrom = Date.now()
    await prometheus.waitForValue('count_over_time(xtrimd_build_info[1m])', (scrapes) => scrapes >= 10)
    const quiet = `[${Math.max(1, Math.floor((Date.now() - quietFrom) / 1000))}s]`
    assert.deepEqual(await prometheus.query(`max_over_time(ALERTS{alertstate="firing"}${quiet})`), [])

    await redis.kill()
    const expected = ['XtrimdNoLeader', 'XtrimdNoSuccess', 'XtrimdSweepsFailing']
    await waitUntil(async () => (await firing()).join() === expected.join(), {
      timeoutMs: 60_000,
      what: `the alerts ${expected.join(', ')}`,
      everyMs: 100,
    })

    await redis.restart()
    await waitUntil(async () => (await firing()).length === 0, { timeoutMs: 60_000, what: 'the alerts to end' })
  })

  test('in every scenario exactly the right alerts fire', async (t) => {
    assert.equal(await failures(t, RULES, SCENARIOS), '')
  })

  test('control: the scenarios notice an alert that never fires and one that always does', async (t) => {
    for (const { alert = '' } of ALERTS) {
      const own = SCENARIOS.filter((scenario) => scenario.alert === alert).map((scenario) => ({
        ...scenario,
        firing: Object.fromEntries(
          Object.entries(scenario.firing).map(([minute, names]) => [minute, names.filter((name) => name === alert)]),
        ),
      }))
      const changed = (change: (rule: Rule) => void): string => {
        const rules = alertsOf(readRules()).filter((rule) => rule.alert === alert)
        rules.forEach(change)
        return JSON.stringify({ groups: [{ name: 'changed', rules }] })
      }
      const never = changed((rule) => {
        rule.expr = 'vector(0) > 1'
      })
      assert.match(await failures(t, never, own), /FAILED/, `${alert} that never fires`)
      const atAllTimes = changed((rule) => {
        rule.expr = 'vector(1)'
        delete rule.for
      })
      assert.match(await failures(t, atAllTimes, own), /FAILED/, `${alert} that always fires`)
    }
  })

  test('every alert has a severity, a summary and a description, with every value filled in', async (t) => {
    for (const { alert = '', labels = {} } of ALERTS) {
      assert.match(labels.severity ?? '', /^(critical|warning)$/, alert)
      const isFirstToFire = (one: Scenario) => one.alert === alert && Object.values(one.firing).flat().includes(alert)
      const scenario = SCENARIOS.find(isFirstToFire) as Scenario
      const [minute = ''] = Object.entries(scenario.firing).find(([, names]) => names.includes(alert)) ?? []
      const asked = promtoolTests([scenario], lastLook(scenario) > 10 * H ? '5m' : '1m') as {
        tests: object[]
      }
      const tests = [
        { ...asked.tests[0], alert_rule_test: [{ eval_time: `${minute}m`, alertname: alert, exp_alerts: [] }] },
      ]
      const own = readRules()
        .groups.flatMap(({ rules }) => rules)
        .filter((rule) => rule.alert === alert || rule.alert === undefined)
      // If none is expected, promtool prints the one it got.
      const { said } = await promtool(t, ['test', 'rules', 'tests.yaml'], {
        'rules.yaml': JSON.stringify({ groups: [{ name: 'own', rules: own }] }),
        'tests.yaml': JSON.stringify({ ...asked, tests }),
      })
      const got = said.split('got:')[1] ?? ''
      for (const what of ['summary', 'description']) {
        const [, text = ''] = new RegExp(`${what}="((?:[^"\\\\]|\\\\.)*)"`).exec(got) ?? []
        assert.match(text, what === 'summary' ? /^.{20,120}$/ : /^.{100,500}$/, `${what} of ${alert}: ${got}`)
        assert.doesNotMatch(text, /\{\{|<no value>|error expanding| {2}/, `${what} of ${alert}`)
        if (what === 'description') assert.match(text, /chat/, `the description of ${alert} says where`)
      }
    }
  })
})

test('every alert has a scenario in which it fires and one in which it stays silent', () => {
  for (const { alert = '' } of ALERTS) {
    const looks = SCENARIOS.filter((scenario) => scenario.alert === alert).map(({ firing }) =>
      Object.values(firing).some((names) => names.includes(alert)),
    )
    assert.ok(looks.includes(true), `${alert} fires in a case of its own`)
    assert.ok(looks.includes(false), `${alert} is silent in a case of its own`)
  }
})

/** The page with the runbooks. */
const PAGE = 'docs/metrics-and-alerts.md'

test('the runbook_url of every alert leads to its runbook in docs', () => {
  const headings = Array.from(readFileSync(join(ROOT, PAGE), 'utf8').matchAll(/^#+ (.*)$/gm), ([, text]) => text)
  for (const { alert = '', annotations = {} } of ALERTS) {
    // An absolute URL, because it is opened from Alertmanager.
    const { host, pathname, hash } = new URL(annotations.runbook_url ?? '')
    assert.deepEqual(
      [host, pathname, hash],
      ['github.com', `/${repository()}/blob/main/${PAGE}`, `#${alert.toLowerCase()}`],
    )
    assert.ok(headings.includes(alert), `the page has a heading ${alert}`)
  }
})

/** The expressions in the comments of the CronJob: the lines indented by three spaces. */
const CRONJOB = readFileSync(join(ROOT, 'k8s/cronjob/kustomization.yaml'), 'utf8')
const [JOB_FAILED = '', JOB_NO_SUCCESS = '', ...MORE] = Array.from(
  CRONJOB.matchAll(/^# {3}(\S.*)$/gm),
  ([, expr]) => expr,
)

test('the alerts suggested for the CronJob fire after a failed retry or without any success, and not after a successful retry', async (t) => {
  assert.deepEqual(MORE, [])
  const job = (name: string, condition: string, value: number) => ({
    series: `kube_job_failed{namespace="chat",job_name="${name}",condition="${condition}"}`,
    values: `${value}x400`,
  })
  const cronjob = (metric: string, namespace: string, values: string) => ({
    series: `kube_cronjob_${metric}{namespace="${namespace}",cronjob="xtrimd"}`,
    values,
  })
  const series = [
    // As in kube-state-metrics: a Job that did not fail has no condition at all, neither true nor false nor unknown.
    ...[job('xtrimd-1', 'true', 0), job('xtrimd-1', 'false', 0), job('xtrimd-2', 'true', 1), job('other', 'true', 1)],
    { series: 'kube_job_status_failed{namespace="chat",job_name="xtrimd-1"}', values: '1x400' },
    ...['well', 'late', 'never', 'new'].map((one) =>
      cronjob('created', one, one === 'new' ? '_x200 12000x200' : '0x400'),
    ),
    cronjob('status_last_successful_time', 'well', '0x60 3600x60 7200x60 10800x60 14400x160'),
    cronjob('status_last_successful_time', 'late', '0x60 3600x340'),
  ]
  const tests = {
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: series,
        promql_expr_test: [
          {
            expr: JOB_FAILED,
            eval_time: '10m',
            exp_samples: [
              { labels: 'kube_job_failed{namespace="chat",job_name="xtrimd-2",condition="true"}', value: 1 },
            ],
          },
          { expr: JOB_NO_SUCCESS, eval_time: '110m', exp_samples: [] },
          {
            expr: JOB_NO_SUCCESS,
            eval_time: '240m',
            exp_samples: [
              { labels: '{namespace="late",cronjob="xtrimd"}', value: 10_800 },
              { labels: '{namespace="never",cronjob="xtrimd"}', value: 14_400 },
            ],
          },
        ],
      },
    ],
  }
  const { status, said } = await promtool(t, ['test', 'rules', 'cronjob.yaml'], {
    'cronjob.yaml': JSON.stringify(tests),
  })
  assert.equal(status, 0, said)
})

test('prometheus_rule.yaml is what scripts/prometheus_rule.ts generates from alerts.yaml', () => {
  const made = spawnSync(process.execPath, [join(ROOT, 'scripts/prometheus_rule.ts')], { encoding: 'utf8' })
  const kept = readFileSync(join(ROOT, 'k8s/monitoring/prometheus_rule.yaml'), 'utf8')
  assert.equal(kept, made.stdout)
  assert.deepEqual((parse(kept) as { spec: RuleFile }).spec, readRules())
})

/** The page for people: is everything inside its policy, what was done last, what comes next. */
import { createHash } from 'node:crypto'
import { isOff, limitTexts } from '../report/limits.ts'
import { NODE_ENTRIES } from '../retention/bites.ts'
import { type Policy, REASONS, sumOfReasons } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { entriesOf } from '../sweep/tally.ts'
import { formatDuration, roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import type { Status } from './status.ts'
import { elapsed, sweepChart } from './sweep_chart.ts'

/** How many of the longest streams the page lists, out of those that get a series. */
const LONGEST_LISTED = 20

/** Fetches the page again and swaps its content: what is scrolled to, and what has the focus, stays. */
const SCRIPT = `
setInterval(async () => {
  const answer = await fetch(location.href, { cache: 'no-store' }).catch(() => null)
  document.body.classList.toggle('stale', answer?.ok !== true)
  if (answer?.ok !== true) return
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
  const focused = document.activeElement?.getAttribute('href')
  document.querySelector('main').replaceWith(fresh.querySelector('main'))
  if (focused) document.querySelector('a[href="' + focused + '"]')?.focus({ preventScroll: true })
}, 5000)`

/** The page runs its own script, uses its own style, asks its own server, and nothing else. */
export const STATUS_PAGE_POLICY = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** One self-contained page. Keys, names and messages are data: they are shown, never run. */
export function statusPage(status: Status, nowMs: number): string {
  const { last, namesStreams } = status
  const { isGood, told } = verdict(status)
  const mode = status.dryRun ? ', dry run: nothing is removed' : ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>xtrimd</title>
<style>${STYLE}</style>
<script>${SCRIPT}</script>
</head>
<body>
<main>
<h1>xtrimd <small>${text(status.version + mode)}</small></h1>
<p class="verdict${isGood ? ' good' : ''}">${text(told)}</p>
<dl>
${term('now', status.sweeping ? 'sweeping' : 'waiting')}
${term('lease', status.isLeader ? 'this copy sweeps' : 'another copy sweeps, or none')}
${term('next sweep', status.nextSweepMs === null ? 'none' : `${when(status.nextSweepMs)}, in ${span(status.nextSweepMs - nowMs)}`)}
${last === null ? '' : lastSweep(last.report, nowMs - last.endedAtMs)}
${betweenSweeps(status)}
${term('running for', span(nowMs - status.startedAtMs))}
</dl>
${status.past.length === 0 ? '' : `<h2>Sweeps</h2>\n${sweepChart(status.past)}`}
<h2>Policies</h2>
${policyTable(status.policies, last?.report ?? null)}
${last !== null && namesStreams ? heldTable(last.report) + longestTable(last.report, status.policies) : ''}
<nav aria-label="Endpoints"><a href="/metrics">metrics</a> <a href="/healthz">healthz</a> <a href="/readyz">readyz</a></nav>
</main>
</body>
</html>
`
}

/** The answer to the first question: is everything inside its policy? */
function verdict({ last }: Status): { readonly isGood: boolean; readonly told: string } {
  if (last === null) return { isGood: false, told: 'No sweep has ended yet.' }
  const { result, message, total } = last.report
  if (result !== 'success') return { isGood: false, told: `The last sweep was no success: ${message ?? result}.` }
  const over = entriesOf(total.overLimit).filter(([, n]) => n > 0)
  if (over.length === 0) {
    const all =
      total.streams === 1
        ? 'The one stream is inside its policy.'
        : `All ${count(total.streams)} streams are inside their policies.`
    return { isGood: true, told: total.streams === 0 ? 'No stream matches a policy.' : all }
  }
  const limits = over.map(([limit, n]) => `${count(n)} by ${limit}`).join(', ')
  const held = total.protectedStreams > 0 ? ` A consumer group holds ${count(total.protectedStreams)} back.` : ''
  return { isGood: false, told: `Over a limit, of ${streams(total.streams)}: ${limits}.${held}` }
}

function lastSweep(report: SweepReport, sinceMs: number): string {
  const { entries, removed } = report.total
  const { memory } = report
  return [
    term(
      'last sweep',
      `${report.result}, ${sinceMs < 1000 ? 'just now' : `${span(sinceMs)} ago`}; it took ${elapsed(report.durationMs)} for ${streams(report.total.streams)}`,
    ),
    term('entries', `${count(entries.before)} before, ${count(entries.after)} after`),
    term('removed', REASONS.map((reason) => `${count(removed[reason])} by ${reason}`).join(', ')),
    memory === null
      ? ''
      : term(
          'Redis memory',
          `${roundSize(memory.usedBytes)} of ${memory.maxBytes > 0 ? roundSize(memory.maxBytes) : 'no limit'}`,
        ),
  ].join('\n')
}

function betweenSweeps({ watch, pressure }: Status): string {
  const terms: string[] = []
  if (watch !== null) {
    const { heard, primaries, writes, waiting, leftToSweep } = watch.hearing
    const left = leftToSweep === 0 ? '' : `, ${count(leftToSweep)} left to the next sweep`
    terms.push(
      term(
        'watch',
        `hears ${heard} of ${primaries} primaries: ${count(writes)} writes, ${count(waiting)} streams waiting${left}`,
      ),
      term(
        'removed at writes',
        `${count(sumOfReasons(watch.total.removed))} entries, in ${count(watch.total.streams)} looks at streams`,
      ),
    )
  }
  for (const { address, usedBytes, threshold, isHelpless } of pressure?.loads ?? []) {
    const told = `${roundSize(usedBytes)} used on ${address}, sweeps above ${roundSize(threshold)}`
    terms.push(term('pressure', isHelpless ? `${told}: trimming does not bring it down` : told))
  }
  if (pressure !== null) terms.push(term('sweeps under pressure', count(pressure.sweeps)))
  return terms.join('\n')
}

function policyTable(policies: readonly Policy[], report: SweepReport | null): string {
  const rows = policies.map((policy, i) => {
    const tally = report?.policies[i]
    const { trim: _, 'stale-group-after': _after, 'delete-empty': _delete, ...texts } = limitTexts(policy, count)
    const limits = Object.entries(texts)
      .filter(([flag, limit]) => !isOff(limit) || flag === 'max-age' || flag === 'max-length')
      .map(([flag, limit]) => `${flag} ${limit}`)
    const figures = tally
      ? [tally.streams, tally.entries.after, tally.longestStream, tally.protectedStreams]
      : ['', '', '', '']
    return [cell(policy.name, 'name'), `<td>${limits.map(text).join('<br>')}</td>`, ...figures.map((n) => cell(n, 'n'))]
  })
  return table(['policy', 'limits', 'streams', 'entries', 'longest', 'held back'], rows, 2)
}

function heldTable({ held }: SweepReport): string {
  if (held.length === 0) return ''
  const rows = held.map(({ key, policy, hold }) => [
    cell(shown(key), 'name'),
    cell(policy),
    cell(hold.group),
    cell(hold.lastAliveMs === null ? 'not known' : when(hold.lastAliveMs)),
  ])
  return `<h2>Held back by a consumer group</h2>\n${table(['stream', 'policy', 'group', 'last alive'], rows)}`
}

function longestTable({ longest }: SweepReport, policies: readonly Policy[]): string {
  if (longest.length === 0) return ''
  const rows = longest.slice(0, LONGEST_LISTED).map(({ key, policy, length }) => {
    const own = policies.find(({ name }) => name === policy)
    const limit = own?.maxLength ?? Number.POSITIVE_INFINITY
    const of = Number.isFinite(limit) ? limit : (longest[0]?.length ?? length)
    // What approx may leave is no warning: the stream is inside its policy.
    const high = own?.trim === 'approx' ? of + NODE_ENTRIES : of
    return [
      cell(shown(key), 'name'),
      cell(policy),
      `<td><meter min="0" max="${Math.max(high, length)}" high="${high}" value="${length}">${length} of ${of}</meter></td>`,
      cell(length, 'n'),
    ]
  })
  return `<h2>Longest streams</h2>\n${table(['stream', 'policy', 'against its limit', 'entries'], rows, 3)}`
}

/** Columns from `figuresFrom` on hold figures. */
function table(heads: readonly string[], rows: readonly (readonly string[])[], figuresFrom = heads.length): string {
  const head = heads.map((name, i) => `<th scope="col"${i < figuresFrom ? '' : ' class="n"'}>${name}</th>`)
  return `<table><thead><tr>${head.join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.join('')}</tr>`).join('\n')}</tbody></table>`
}

function cell(value: string | number, kind: 'name' | 'n' | '' = ''): string {
  if (kind === 'name') return `<th scope="row">${text(String(value))}</th>`
  return `<td${kind === '' ? '' : ' class="n"'}>${text(typeof value === 'number' ? count(value) : value)}</td>`
}

function term(name: string, value: string): string {
  return `<dt>${text(name)}</dt><dd>${text(value)}</dd>`
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

function count(n: number): string {
  return n.toLocaleString('en')
}

function streams(n: number): string {
  return n === 1 ? '1 stream' : `${count(n)} streams`
}

function when(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}

function span(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms / 1000) * 1000))
}

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --good: #2a7d4f; --bad: #c2410c; --line: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #fb923c; --line: #c4b5fd; } }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.stale main { opacity: .5; }
h1 small { font-size: 1rem; font-weight: normal; opacity: .7; }
h2 { margin-top: 2rem; font-size: 1.1rem; }
.verdict { padding: .6rem 1rem; border-left: .3rem solid var(--bad); background: color-mix(in srgb, var(--bad) 10%, transparent); }
.verdict.good { border-color: var(--good); background: color-mix(in srgb, var(--good) 10%, transparent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }
dt { opacity: .7; } dd { margin: 0; }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
rect { fill: var(--bad); } rect.success { fill: var(--good); }
polyline { fill: none; stroke: var(--line); stroke-width: 1.5; }
figcaption { margin-top: .4rem; opacity: .7; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); overflow-wrap: anywhere; }
th[scope=row] { font-weight: normal; }
meter { width: 8rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
nav { margin-top: 2rem; display: flex; gap: 1rem; }
a:focus-visible { outline: 2px solid var(--line); outline-offset: 2px; }`

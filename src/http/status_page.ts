/** The page for people: what the daemon last did and will do next, readable without a script. */
import type { Policy } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { formatDuration, formatSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import type { Status } from './status.ts'

/** How many of the longest streams the page lists, out of those that get a series. */
const LONGEST_LISTED = 20

/** One self-contained page. Keys, names and messages are data: they are shown, never run. */
export function statusPage(status: Status, nowMs: number): string {
  const { last } = status
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="10">
<title>xtrimd</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>xtrimd <small>${text(status.version)}${status.dryRun ? ', dry run: nothing is removed' : ''}</small></h1>
<dl>
${term('now', status.sweeping ? 'sweeping' : status.isLeader ? 'waiting' : 'waiting: another copy holds the lease')}
${term('next sweep', status.nextSweepMs === null ? 'none' : `${when(status.nextSweepMs)}, in ${ago(status.nextSweepMs - nowMs)}`)}
${term('last sweep', last === null ? 'none yet' : `${outcome(last.report)}, ${ago(nowMs - last.endedAtMs)} ago`)}
${last === null ? '' : lastSweep(last.report)}
${term('running for', ago(nowMs - status.startedAtMs))}
</dl>
<h2>Policies</h2>
${policyTable(status.policies, last?.report ?? null)}
${last === null ? '' : longestTable(last.report)}
<nav><a href="/metrics">metrics</a> <a href="/healthz">healthz</a> <a href="/readyz">readyz</a></nav>
</main>
</body>
</html>
`
}

function lastSweep(report: SweepReport): string {
  const { entries, removed, streams } = report.total
  const memory =
    report.memory &&
    `${formatSize(report.memory.usedBytes)} of ${report.memory.maxBytes > 0 ? formatSize(report.memory.maxBytes) : 'no limit'}`
  return [
    term('it took', `${(report.durationMs / 1000).toFixed(2)} s for ${count(streams)} streams`),
    term('entries', `${count(entries.before)} before, ${count(entries.after)} after`),
    term(
      'removed',
      `${count(removed.age)} by age, ${count(removed.length)} by length, ${count(removed.bytes)} by bytes`,
    ),
    memory === null ? '' : term('Redis memory', memory),
  ].join('\n')
}

function policyTable(policies: readonly Policy[], report: SweepReport | null): string {
  const rows = policies.map((policy, i) => {
    const tally = report?.policies[i]
    const limits = [
      ['max-age', formatDuration(policy.maxAgeMs)],
      ['max-length', Number.isFinite(policy.maxLength) ? count(policy.maxLength) : 'off'],
      ['max-bytes', formatSize(policy.maxBytes)],
    ]
    const figures = tally ? [tally.streams, tally.entries.after, tally.longestStream, tally.protectedStreams] : []
    return `<tr><th scope="row">${text(policy.name)}</th><td>${limits.map((limit) => text(limit.join(' '))).join('<br>')}</td>${figures
      .map((n) => `<td class="n">${count(n)}</td>`)
      .join('')}</tr>`
  })
  return `<table><thead><tr>${['policy', 'limits', 'streams', 'entries', 'longest', 'held back'].map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`
}

function longestTable(report: SweepReport): string {
  if (report.longest.length === 0) return ''
  const rows = report.longest
    .slice(0, LONGEST_LISTED)
    .map(
      ({ key, policy, length }) =>
        `<tr><th scope="row">${text(shown(key))}</th><td>${text(policy)}</td><td class="n">${count(length)}</td></tr>`,
    )
  return `<h2>Longest streams</h2>
<table><thead><tr><th scope="col">stream</th><th scope="col">policy</th><th scope="col">entries</th></tr></thead><tbody>${rows.join('\n')}</tbody></table>`
}

function outcome(report: SweepReport): string {
  return report.message === null ? report.result : `${report.result} (${report.message})`
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

function when(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}

function ago(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms / 1000) * 1000))
}

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 small { font-size: 1rem; font-weight: normal; opacity: .7; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }
dt { opacity: .7; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); overflow-wrap: anywhere; }
th[scope=row] { font-weight: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
nav { margin-top: 2rem; display: flex; gap: 1rem; }`

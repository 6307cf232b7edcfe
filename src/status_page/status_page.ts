/** The status page: whether every stream is inside its policy, what the last sweep did and when the next one is due. */
import { createHash } from 'node:crypto'
import { isOff, limitTexts } from '../phrases/limits.ts'
import { sumOfReasons } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../tally/tally.ts'
import { roundSize } from '../text/quantities.ts'
import { when } from '../text/when.ts'
import { lastSweep } from './last_sweep.ts'
import { cell, count, span, table, term, text } from './markup.ts'
import { PAGE_SCRIPT } from './page_script.ts'
import { PAGE_STYLE } from './page_style.ts'
import type { Status } from './status.ts'
import { groupTables, heldTable, longestTable } from './stream_tables.ts'
import { sweepChart } from './sweep_chart.ts'
import { verdict } from './verdict.ts'

/** Allows the page its own script and style and requests to its own server, and nothing else. */
export const STATUS_PAGE_POLICY = `default-src 'none'; style-src ${hashOf(PAGE_STYLE)}; script-src ${hashOf(PAGE_SCRIPT)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

function hashOf(inline: string): string {
  return `'sha256-${createHash('sha256').update(inline).digest('base64')}'`
}

/** One self-contained page. Its links are relative, so it works behind a proxy under any path. */
export function statusPage(status: Status, nowMs: number): string {
  const { last, namesStreams } = status
  const { tone, sentence } = verdict(status, nowMs)
  const mode = status.dryRun ? ', dry run: nothing is removed' : ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>xtrimd</title>
<style>${PAGE_STYLE}</style>
<script>${PAGE_SCRIPT}</script>
</head>
<body>
<header>
<h1>xtrimd <small>${text(status.version + mode)}</small></h1>
<button type="button" id="pause" aria-pressed="false" hidden>Pause updates</button>
<p id="notice" role="status"></p>
</header>
<main id="xtrimd">
<p class="verdict ${tone}">${text(sentence)}</p>
<dl>
${term('now', `${status.sweeping ? 'sweeping' : 'waiting'}, at ${when(nowMs)}`)}
${term('lease', leaseOf(status))}
${term('next sweep', status.nextSweepMs === null ? 'none' : `${when(status.nextSweepMs)}, in ${span(status.nextSweepMs - nowMs)}`)}
${last === null ? '' : lastSweep(last.report, status.policies, nowMs - last.endedAtMs)}
${archive(status)}
${betweenSweeps(status)}
${policyFile(status)}
${term('running for', span(nowMs - status.startedAtMs))}
</dl>
${status.past.length === 0 ? '' : `<h2>Sweeps</h2>\n${sweepChart(status.past)}`}
<h2>Policies</h2>
${policyTable(status, last?.report ?? null)}
${last === null ? '' : heldTable(last.report, namesStreams)}
${last === null ? '' : groupTables(last.report, namesStreams)}
${last === null || !namesStreams ? '' : longestTable(last.report, status.policies)}
</main>
<footer><nav aria-label="Endpoints"><a href="metrics">metrics</a> <a href="healthz">healthz</a> <a href="readyz">readyz</a></nav></footer>
</body>
</html>
`
}

function leaseOf({ isLeader, anotherLeads }: Status): string {
  if (isLeader) return 'this copy sweeps'
  return anotherLeads ? 'another copy sweeps' : 'holder unknown'
}

function betweenSweeps({ watch, pressure }: Status): string {
  const terms: string[] = []
  if (watch !== null) {
    const { heard, primaries, writes, waiting, leftToSweep } = watch.state
    const left = leftToSweep === 0 ? '' : `, ${count(leftToSweep)} left to the next sweep`
    terms.push(
      term(
        'watch',
        `listening to ${heard} of ${primaries} primaries: ${count(writes)} writes, ${count(waiting)} streams waiting${left}`,
      ),
      ...watch.whyUnheard.map((why) => term('watch error', why)),
      term(
        'removed by watch',
        `${count(sumOfReasons(watch.total.removed))} entries in ${count(watch.total.streams)} checks of a stream${archivedBy(watch.total)}`,
      ),
    )
  }
  for (const { address, usedBytes, threshold, isHelpless } of pressure?.loads ?? []) {
    const load = `${roundSize(usedBytes)} used on ${address}, sweeps above ${roundSize(threshold)}`
    terms.push(term('pressure', isHelpless ? `${load}; trimming does not free enough` : load))
  }
  if (pressure !== null) terms.push(term('sweeps under pressure', count(pressure.sweeps)))
  return terms.join('\n')
}

function archivedBy({ archived }: PolicyTally): string {
  return archived === 0 ? '' : `; ${count(archived)} archived`
}

function archive({ archive }: Status): string {
  if (archive === null) return ''
  const { place, failing } = archive
  const error = failing === null ? [] : [term('archive error', `since ${when(failing.sinceMs)}: ${failing.why}`)]
  return [term('archive', place), ...error].join('\n')
}

function policyFile({ policyFile: file }: Status): string {
  if (file === null) return ''
  const version = term('policy file', `version ${file.version}, in force since ${when(file.sinceMs)}`)
  // The line after the first shows the place of the mistake by a caret, which needs a font of its own.
  const problems = file.problems.map((problem) => term('policy file error', problem.split('\n')[0] ?? ''))
  return [version, ...problems].join('\n')
}

function policyTable({ policies, archive }: Status, report: SweepReport | null): string {
  const rows = policies.map((policy) => {
    // The policies may have changed since the last sweep.
    const tally = report?.policies.find((one) => one.policy === policy.name)
    const { trim: _, 'stale-group-after': _after, 'delete-empty': _delete, ...texts } = limitTexts(policy, count)
    const limits = Object.entries(texts)
      .filter(([flag, limit]) => !isOff(limit) || flag === 'max-age' || flag === 'max-length')
      .map(([flag, limit]) => `${flag} ${limit}`)
    if (archive !== null && !policy.archive) limits.push('archive false')
    const figures = tally
      ? [tally.streams, tally.entries.after, tally.longestStream, tally.protectedStreams]
      : ['', '', '', '']
    return [cell(policy.name, 'name'), `<td>${limits.map(text).join('<br>')}</td>`, ...figures.map((n) => cell(n, 'n'))]
  })
  return table(['policy', 'limits', 'streams', 'entries', 'longest', 'held back'], rows, 2)
}

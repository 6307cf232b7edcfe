/** `xtrimd sweep` and `xtrimd plan`: what a sweep did, or would do, behind a line of progress. */
import { styleText } from 'node:util'
import { makeProgressLine } from '../phrases/progress.ts'
import { settingLines } from '../phrases/settings.ts'
import { plan } from '../plan/plan.ts'
import { planJson, sweepJson } from '../report/json.ts'
import { planSummary } from '../report/plan_summary.ts'
import { sweepSummary } from '../report/summary.ts'
import { type SweepTask, sweep } from '../sweep/sweep.ts'
import type { Verdict } from '../sweep/verdict.ts'
import { type Console, exitCode, type Invocation, printReport } from './invocation.ts'
import { DAEMON_RESTS, pauseNote, readPause } from './pause.ts'

export async function sweepOnce(invocation: Invocation): Promise<number> {
  const { task, stop, console } = invocation
  const [report, pause] = await Promise.all([
    withProgress(invocation, 'removed', (line) => sweep({ ...task, ...line }, stop)),
    readPause(invocation),
  ])
  await printReport(
    invocation,
    () => sweepJson(report, pause),
    () => coloured(report, sweepSummary(report), console) + pauseNote(pause, 'This sweep ran all the same.'),
  )
  return exitCode(report.result === 'success')
}

export async function planOnce(invocation: Invocation): Promise<number> {
  const { config, task, stop, console } = invocation
  const { policies, settings } = config
  const [report, pause] = await Promise.all([
    withProgress(invocation, 'to remove', (line) => plan({ ...task, ...line }, stop)),
    readPause(invocation),
  ])
  await printReport(
    invocation,
    () => planJson(report, policies, settings, pause),
    () =>
      [
        coloured(report, planSummary(report, policies), console),
        pauseNote(pause, DAEMON_RESTS),
        ...['configuration', ...settingLines(settings), ''].map((line) => `${line}\n`),
      ].join(''),
  )
  return exitCode(report.result === 'success')
}

/** Shows a progress line while the work runs: only on a terminal that can redraw a line, where nothing else writes. */
async function withProgress<T>(
  { config, console }: Invocation,
  verb: 'removed' | 'to remove',
  work: (line: Pick<SweepTask, 'onProgress' | 'extent'>) => Promise<T>,
): Promise<T> {
  const { redrawn } = console
  if (redrawn === null || /^(?:trace|debug)$/.test(config.logLevel)) return work({})
  const line = makeProgressLine(redrawn.write, redrawn.columns, verb)
  try {
    return await work({ onProgress: line.update, extent: line.extent })
  } finally {
    line.clear()
  }
}

/** Colours the first word of a summary, the result, if stdout shows colours. */
function coloured({ result }: Verdict, summary: string, { takesColour }: Console): string {
  if (!takesColour) return summary
  const word = styleText(result === 'success' ? 'green' : 'red', result, { validateStream: false })
  return word + summary.slice(result.length)
}

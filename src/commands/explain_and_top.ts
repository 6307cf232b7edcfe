/** `xtrimd explain` and `xtrimd top`: one stream, and the streams that matter now. */
import { explain } from '../explain/explain.ts'
import { explainJson } from '../report/explain_json.ts'
import { explainSummary } from '../report/explain_summary.ts'
import { topJson, topLines, topText } from '../report/top_report.ts'
import { liveTop } from '../top/live_top.ts'
import { topOnce } from '../top/top.ts'
import { EXIT, exitCode, type Invocation, printReport } from './invocation.ts'
import { DAEMON_RESTS, pauseNote, readPause } from './pause.ts'

export async function explainOnce(invocation: Invocation): Promise<number> {
  const { config, task, stop } = invocation
  const { topology, reach } = config.redis
  const { paceOf } = task
  const [explanation, pause] = await Promise.all([
    explain(config.operand ?? '', { topology, reach, policies: config.policies, paceOf }, stop),
    readPause(invocation),
  ])
  await printReport(
    invocation,
    () => explainJson(explanation, pause),
    () => explainSummary(explanation) + pauseNote(pause, DAEMON_RESTS),
  )
  return exitCode(explanation.result === 'success')
}

export async function top(invocation: Invocation): Promise<number> {
  const { config, task, stop, console } = invocation
  const topTask = { ...task, ...config.top }
  const { terminal } = console
  if (config.output === 'text' && terminal !== null) {
    await liveTop(topTask, terminal, topLines, stop, console.onExit)
    return EXIT.success
  }
  const view = await topOnce(topTask, stop)
  await printReport(
    invocation,
    () => topJson(view),
    () => topText(view),
  )
  return exitCode(view.result !== 'failed')
}

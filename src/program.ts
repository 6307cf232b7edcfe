/** The process: arguments and environment in, exit codes and signals out. */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { styleText } from 'node:util'
import type { ArchiveTerms, RetrievalTerms } from './config/archive_settings.ts'
import { type Config, configure } from './config/config.ts'
import { runDaemon } from './daemon/daemon.ts'
import { sweepTask } from './daemon/task.ts'
import { explain } from './explain/explain.ts'
import type { CommandName } from './flags/command_line.ts'
import { formatProblem } from './flags/problem.ts'
import { subjectOf } from './flags/reader.ts'
import { pauseByHand, readPause, resumeByHand } from './leadership/pause_by_hand.ts'
import { pausedSentence } from './phrases/pause.ts'
import { makeProgressLine } from './phrases/progress.ts'
import { settingLines } from './phrases/settings.ts'
import { sentence } from './phrases/table.ts'
import { plan } from './plan/plan.ts'
import { Fault } from './redis/refusal.ts'
import { listingJson, listingText, restoredText } from './report/archive_listing.ts'
import { explainJson } from './report/explain_json.ts'
import { explainSummary } from './report/explain_summary.ts'
import { planJson, startFields, sweepJson } from './report/json.ts'
import { planSummary } from './report/plan_summary.ts'
import { sweepSummary } from './report/summary.ts'
import { topJson, topLines, topText } from './report/top_report.ts'
import { listArchive } from './retrieve/listing.ts'
import { RestoreRefused } from './retrieve/restore.ts'
import { readEntries, restoreEntries } from './retrieve/retrieve.ts'
import type { Pause } from './shared_keys/pause_key.ts'
import { openStore } from './store/open_store.ts'
import { ArchiveFault, type Store } from './store/store.ts'
import { type SweepTask, sweep } from './sweep/sweep.ts'
import type { Verdict } from './sweep/verdict.ts'
import { type Log, makeLog } from './telemetry/log.ts'
import { liveTop } from './top/live_top.ts'
import type { Terminal } from './top/screen.ts'
import { topOnce } from './top/top.ts'

const EXIT = { success: 0, failure: 1, badInput: 2 } as const

const BUG = 'bug: please report it'

/** Reasons why listening failed that only another `--http-bind` can fix. */
const UNUSABLE_BIND: Readonly<Record<string, string>> = {
  EADDRINUSE: 'must be an address that is not in use (EADDRINUSE)',
  EADDRNOTAVAIL: 'must be an address of this machine (EADDRNOTAVAIL)',
  EAFNOSUPPORT: 'must be an address of a family that this machine supports (EAFNOSUPPORT)',
  EINVAL: 'must be an address that the system can listen on (EINVAL)',
  EACCES: 'must be a port this user may listen on (EACCES)',
  ENOTFOUND: 'must name a host that resolves (ENOTFOUND)',
  EAI_AGAIN: 'must name a host that resolves (EAI_AGAIN)',
}

async function main(): Promise<number> {
  // Hide the arguments: a URL among them may hold a password, and every user of the machine may run ps.
  process.title = 'xtrimd'
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const configured = configure(process.argv.slice(2), process.env, version, (command) => logStream(command).isTTY)
  if (configured.kind === 'text') {
    await write(process.stdout, configured.text)
    return EXIT.success
  }
  if (configured.kind === 'problems') return await complain(configured.lines)

  const { config } = configured
  const stop = stopOnSignal()
  const out = logStream(config.command)
  const log = await makeLog(config.logLevel, config.logFormat, out.fd, takesColour(out))
  for (const warning of config.warnings) log.warn({ warning }, 'unknown variable')
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, BUG)
    process.exit(EXIT.failure)
  })
  try {
    return await COMMANDS[config.command](config, sweepTask(config, log, ownMs), stop, log, version)
  } catch (error) {
    log.fatal({ err: error }, BUG)
    return EXIT.failure
  }
}

async function run(config: Config, task: SweepTask, stop: AbortSignal, log: Log, version: string): Promise<number> {
  log.info({ version, ...startFields(config) }, 'starting')
  try {
    await runDaemon(config, task, version, log, stop)
    return EXIT.success
  } catch (error) {
    const rule = UNUSABLE_BIND[(error as NodeJS.ErrnoException).code ?? '']
    if (rule === undefined || (error as NodeJS.ErrnoException).syscall === 'connect') throw error
    const bind = config.settings.find(({ flag }) => flag === 'http-bind')
    const subject = subjectOf('http-bind', bind?.from ?? 'flag')
    return await complain([formatProblem({ subject, rule, value: bind?.value ?? null })])
  }
}

async function sweepOnce(config: Config, task: SweepTask, stop: AbortSignal, log: Log): Promise<number> {
  const [report, pause] = await Promise.all([
    withProgress(config, 'removed', (line) => sweep({ ...task, ...line }, stop)),
    readPause(config, stop, log),
  ])
  await write(
    process.stdout,
    config.output === 'json'
      ? `${JSON.stringify(sweepJson(report, pause))}\n`
      : coloured(report, sweepSummary(report) + pauseNote(pause, 'This sweep ran all the same.')),
  )
  return report.result === 'success' ? EXIT.success : EXIT.failure
}

async function planOnce(config: Config, task: SweepTask, stop: AbortSignal, log: Log): Promise<number> {
  const [report, pause] = await Promise.all([
    withProgress(config, 'to remove', (line) => plan({ ...task, ...line }, stop)),
    readPause(config, stop, log),
  ])
  const { policies, settings } = config
  await write(
    process.stdout,
    config.output === 'json'
      ? `${JSON.stringify(planJson(report, policies, settings, pause))}\n`
      : [
          coloured(report, planSummary(report, policies)),
          pauseNote(pause, DAEMON_RESTS),
          ...['configuration', ...settingLines(settings), ''].map((line) => `${line}\n`),
        ].join(''),
  )
  return report.result === 'success' ? EXIT.success : EXIT.failure
}

async function explainOnce(config: Config, { paceOf }: SweepTask, stop: AbortSignal, log: Log): Promise<number> {
  const { topology, reach } = config.redis
  const [explanation, pause] = await Promise.all([
    explain(config.operand ?? '', { topology, reach, policies: config.policies, paceOf }, stop),
    readPause(config, stop, log),
  ])
  await write(
    process.stdout,
    config.output === 'json'
      ? `${JSON.stringify(explainJson(explanation, pause))}\n`
      : explainSummary(explanation) + pauseNote(pause, DAEMON_RESTS),
  )
  return explanation.result === 'success' ? EXIT.success : EXIT.failure
}

const DAEMON_RESTS = 'The daemon does not sweep.'

/** The pause in words, and what it means for the command; empty if there is none. */
function pauseNote(pause: Pause | null, meaning: string): string {
  return pause === null ? '' : [...sentence(`${pausedSentence(pause)} ${meaning}`), ''].join('\n')
}

/** Pauses or resumes, and prints what came of it. */
async function changePause(verb: 'pause' | 'resume', changed: Promise<string>): Promise<number> {
  try {
    await write(process.stdout, `${await changed}\n`)
    return EXIT.success
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    await write(process.stderr, `xtrimd: could not ${verb}: ${error.message}\n`)
    return EXIT.failure
  }
}

async function top(config: Config, task: SweepTask, stop: AbortSignal): Promise<number> {
  const topTask = { ...task, ...config.top }
  const { stdout } = process
  if (config.output === 'text' && stdout.isTTY && process.env.TERM !== 'dumb') {
    await liveTop(topTask, terminal(), topLines, stop, (undo) => process.once('exit', undo))
    return EXIT.success
  }
  const view = await topOnce(topTask, stop)
  await write(stdout, config.output === 'json' ? `${JSON.stringify(topJson(view))}\n` : topText(view))
  return view.result === 'failed' ? EXIT.failure : EXIT.success
}

/** Our terminal. Where stdin is not one too, no keys come, and a signal ends the program. */
function terminal(): Terminal {
  const { stdin, stdout } = process
  return {
    columns: () => stdout.columns || 80,
    rows: () => stdout.rows || 24,
    write: (text) => stdout.write(text),
    takeKeys: (listener) => {
      stdin.removeAllListeners('data')
      if (!stdin.isTTY) return
      stdin.setRawMode(listener !== null)
      if (listener === null) stdin.pause()
      else stdin.setEncoding('utf8').on('data', listener).resume()
    },
    onResize: (listener) => stdout.on('resize', listener),
  }
}

/** Shows a progress line while the work runs: only on a terminal that can redraw a line, where nothing else writes. */
async function withProgress<T>(
  { logLevel }: Config,
  verb: 'removed' | 'to remove',
  work: (line: Pick<SweepTask, 'onProgress' | 'extent'>) => Promise<T>,
): Promise<T> {
  const { stderr } = process
  if (!stderr.isTTY || process.env.TERM === 'dumb' || /^(?:trace|debug)$/.test(logLevel)) return work({})
  const line = makeProgressLine((text) => stderr.write(text), stderr.columns || 80, verb)
  try {
    return await work({ onProgress: line.update, extent: line.extent })
  } finally {
    line.clear()
  }
}

/** Works on the archive. What goes wrong with it, or with Redis, is logged: none of it is a bug. */
async function withArchive(config: Config, log: Log, work: (store: Store) => Promise<boolean>): Promise<number> {
  const { location, s3 } = config.archive as ArchiveTerms
  const store = await openStore(location, s3)
  try {
    return (await work(store)) ? EXIT.success : EXIT.failure
  } catch (error) {
    if (!(error instanceof ArchiveFault || error instanceof RestoreRefused || error instanceof Fault)) throw error
    log.error({ ...('code' in error ? { cause: error.code } : {}) }, error.message)
    return EXIT.failure
  } finally {
    store.close()
  }
}

function listArchived(config: Config, _task: SweepTask, _stop: AbortSignal, log: Log): Promise<number> {
  return withArchive(config, log, async (store) => {
    const listing = await listArchive(store)
    for (const { code, message } of listing.damaged) log.error({ cause: code }, message)
    await write(
      process.stdout,
      config.output === 'json' ? `${JSON.stringify(listingJson(listing))}\n` : listingText(listing),
    )
    return listing.damaged.length === 0
  })
}

function printArchived(config: Config, _task: SweepTask, stop: AbortSignal, log: Log): Promise<number> {
  return withArchive(config, log, async (store) => {
    let isWhole = true
    const onDamaged = ({ code, message }: ArchiveFault): void => {
      isWhole = false
      log.error({ cause: code }, message)
    }
    for await (const lines of readEntries(store, config.retrieval as RetrievalTerms, onDamaged)) {
      // Nobody reads on after `| head`, which is no failure.
      if (!(await write(process.stdout, lines))) return isWhole
      if (stop.aborted) return false
    }
    return isWhole
  })
}

function restoreArchived(config: Config, task: SweepTask, stop: AbortSignal, log: Log): Promise<number> {
  const terms = config.retrieval as RetrievalTerms & { toStream: Buffer }
  const restored = { added: 0, found: 0 }
  return withArchive(config, log, async (store) => {
    try {
      await restoreEntries(store, terms, task, restored, stop)
    } catch (error) {
      if (restored.added > 0) log.error({ ...restored }, 'ended half-way; the same command goes on from here')
      throw error
    }
    await write(
      process.stdout,
      config.output === 'json' ? `${JSON.stringify(restored)}\n` : restoredText(terms, restored),
    )
    if (stop.aborted) log.error({ ...restored }, 'asked to stop; the same command goes on from here')
    return !stop.aborted
  })
}

const COMMANDS = {
  run,
  sweep: sweepOnce,
  plan: planOnce,
  explain: explainOnce,
  top,
  'archive ls': listArchived,
  'archive cat': printArchived,
  'archive restore': restoreArchived,
  pause: (config: Config, _: SweepTask, stop: AbortSignal) => changePause('pause', pauseByHand(config, stop)),
  resume: (config: Config, _: SweepTask, stop: AbortSignal) => changePause('resume', resumeByHand(config, stop)),
} as const

/**
 * CPU time of this thread in ms, or of all threads (such as garbage collection) if Node cannot tell them apart. System time
 * is left out: during a write, Redis is already working on it.
 */
function ownMs(): number {
  const { user } = process.threadCpuUsage?.() ?? process.cpuUsage()
  return user / 1000
}

/** The daemon logs to stdout. Other commands print their result there, so they log to stderr. */
function logStream(command: CommandName): NodeJS.WriteStream & { readonly fd: 1 | 2 } {
  return command === 'run' ? process.stdout : process.stderr
}

/** Whether to print colours: only on a terminal that supports them, and never with NO_COLOR. */
function takesColour(out: NodeJS.WriteStream): boolean {
  return !process.env.NO_COLOR && out.isTTY === true && out.hasColors()
}

/** Colours the first word of a summary, the result, if stdout shows colours. */
function coloured({ result }: Verdict, summary: string): string {
  if (!takesColour(process.stdout)) return summary
  const word = styleText(result === 'success' ? 'green' : 'red', result, { validateStream: false })
  return word + summary.slice(result.length)
}

async function complain(lines: readonly string[]): Promise<number> {
  await write(process.stderr, `${lines.map((line) => `xtrimd: ${line}`).join('\n')}\nsee xtrimd --help for all flags\n`)
  return EXIT.badInput
}

/** The first SIGTERM or SIGINT requests a stop; the second ends the process at once. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
  ] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(128 + number)
      stop.abort()
    })
  }
  return stop.signal
}

/** Resolves when the system has taken the text; with false when nobody reads it anymore. */
function write(stream: NodeJS.WriteStream, text: string | Buffer): Promise<boolean> {
  // Without a listener the end of a reader would end the process.
  if (stream.listenerCount('error') === 0) stream.on('error', () => {})
  return new Promise((resolve) => {
    stream.write(text, (error) => resolve(!error))
  })
}

/** Reports a bug before the log exists. Node would print every property of the error, such as a URL with its password. */
async function reportBug(error: unknown): Promise<number> {
  const stack = error instanceof Error ? error.stack : undefined
  await write(process.stderr, `xtrimd: ${BUG}: ${stack ?? error}\n`)
  return EXIT.failure
}

// Exit at once: a frozen Redis may keep a connection open.
process.exit(await main().catch(reportBug))

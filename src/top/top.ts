/** The streams that matter now: found in one pass over all of them, then read again and again. */

import type { Address } from '../redis/address.ts'
import { Fault } from '../redis/refusal.ts'
import type { Lack, MissingCommands } from '../redis/refused.ts'
import { makeGlob } from '../retention/policy.ts'
import type { Verdict } from '../sweep/verdict.ts'
import { sleep } from '../walk/stoppable.ts'
import type { WalkTask } from '../walk/walk.ts'
import { Best } from './best.ts'
import { LengthSample } from './length_sample.ts'
import { refresh, withEntryBytes } from './refresh.ts'
import { type MemoryReading, type Outlook, outlookOn, type Reading, type Row, rowOf, sortRows } from './rows.ts'
import { type Candidate, type Sort, type SurveyTask, survey } from './survey.ts'

export interface TopTask extends WalkTask {
  readonly sort: Sort
  readonly limit: number
  readonly intervalMs: number
  /** The glob of keys to show; null for all that a policy covers. */
  readonly narrow: string | null
}

/** What is shown. */
export interface TopView extends Verdict {
  readonly sort: Sort
  /** The first ones by the column, at most as many as asked for. */
  readonly rows: readonly Row[]
  /** Null until memory was read. */
  readonly redis: Outlook | null
  /** Streams that the last pass saw; null before the first. */
  readonly streams: number | null
  readonly missing: MissingCommands
}

const SUCCESS: Verdict = { result: 'success', cause: null, message: null, failure: null }

/** Streams that a refresh reads: enough to notice one that overtakes another between two passes. */
const CANDIDATES = 300
/** Memory grows unevenly: its rate is taken over this many readings. */
const MEMORY_READINGS = 30

/** What top knows, from one pass and refresh to the next. */
export class Top {
  sort: Sort
  readonly #task: TopTask
  readonly #surveyTask: SurveyTask
  readonly #missing = new Map<string, Omit<Lack, 'command'>>()
  readonly #lengths = new LengthSample()
  #addresses: readonly Address[] = []
  #candidates: readonly Candidate[] = []
  /** By key: what growth is measured from. */
  #readings = new Map<string, Reading>()
  #rows: readonly Row[] = []
  #memory: MemoryReading[] = []
  #streams: number | null = null
  #refreshing: Promise<void> | null = null
  /** How the last pass ended. */
  #passed = SUCCESS
  /** How the last refresh ended. */
  #refreshed = SUCCESS

  constructor(task: TopTask) {
    this.#task = task
    this.sort = task.sort
    this.#surveyTask = {
      ...task,
      narrow: task.narrow === null ? null : makeGlob(task.narrow),
      missing: (command, neededFor, why) => this.#missing.set(command, { neededFor, why }),
    }
  }

  get view(): TopView {
    const rows = sortRows(this.#rows, this.sort).slice(0, this.#task.limit)
    const redis = outlookOn(this.#memory)
    const verdict = this.#refreshed.result === 'success' ? this.#passed : this.#refreshed
    return { ...verdict, sort: this.sort, rows, redis, streams: this.#streams, missing: this.#missing }
  }

  /** One pass over all streams: finds those that lead by the column. */
  async survey(stop: AbortSignal): Promise<void> {
    const best = new Best<Candidate>(Math.max(CANDIDATES, this.#task.limit))
    const found = await survey(this.#surveyTask, this.sort, best, this.#lengths, stop)
    if (stop.aborted) return
    const { result, cause, message, failure } = found
    this.#passed = { result, cause, message, failure }
    // A pass that saw nothing, since Redis was away, must not empty the table.
    if (found.result === 'failed') return
    this.#streams = found.streams
    this.#addresses = found.addresses
    this.#candidates = best.list()
  }

  /** Reads the candidates again, unless that is in progress. A fault of Redis becomes the verdict. */
  refresh(stop: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#refresh(stop).finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #refresh(stop: AbortSignal): Promise<void> {
    if (this.#addresses.length === 0) return
    try {
      const { readings, memory } = await refresh(this.#surveyTask, this.#addresses, this.#candidates, stop)
      const rows = readings.map((reading) => rowOf(reading, this.#readings.get(keyOf(reading))))
      // Twice as many as are shown: what the entries take may change the order.
      const first = sortRows(rows, this.sort).slice(0, 2 * this.#task.limit)
      const shown = (await withEntryBytes(this.#surveyTask, first, stop)).map((reading) =>
        rowOf(reading, this.#readings.get(keyOf(reading))),
      )
      this.#rows = shown
      this.#readings = this.#basesOf([...readings, ...shown])
      this.#memory = [...this.#memory, { atMs: performance.now(), memory }].slice(-MEMORY_READINGS)
      this.#refreshed = SUCCESS
      // Redis is back, after a pass that found it away.
      if (this.#passed.result === 'failed') this.#passed = SUCCESS
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      this.#refreshed = { result: 'failed', cause: error.code, message: error.message, failure: error.code }
    }
  }

  /** What the next growth is measured from: these readings, unless the ones before are too recent to be replaced. */
  #basesOf(readings: readonly Reading[]): Map<string, Reading> {
    const bases = new Map<string, Reading>()
    for (const reading of readings) {
      const before = this.#readings.get(keyOf(reading))
      const isRecent = before !== undefined && reading.nowMs - before.nowMs < this.#task.intervalMs / 2
      bases.set(keyOf(reading), isRecent ? before : reading)
    }
    return bases
  }
}

function keyOf({ candidate }: Reading): string {
  return candidate.key.toString('latin1')
}

/** One snapshot: growth is measured over one interval. By growth, a second pass finds the streams that grow. */
export async function topOnce(task: TopTask, stop: AbortSignal): Promise<TopView> {
  const top = new Top(task)
  await top.survey(stop)
  if (task.sort === 'growth' && top.view.result !== 'failed') {
    await sleep(task.intervalMs, stop)
    await top.survey(stop)
  }
  await top.refresh(stop)
  if (top.view.result !== 'failed' && top.view.streams !== null) {
    await sleep(task.intervalMs, stop)
    await top.refresh(stop)
  }
  return top.view
}

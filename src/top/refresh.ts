/** Reads the candidates again, and Redis's memory. */

import { isTime, parseStreamId } from '../entries/stream_id.ts'
import { bytesOfEntries } from '../look/entry_bytes.ts'
import { memoryHabits } from '../look/memory_habits.ts'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection } from '../redis/connection.ts'
import { withConnection } from '../redis/primaries.ts'
import { Refusal } from '../redis/refusal.ts'
import { lackOf, type Missing, Refused, whyMissing } from '../redis/refused.ts'
import { type Memory, readServer } from '../redis/server_state.ts'
import { paced } from '../walk/pace.ts'
import { type Figures, readFigures } from './figures.ts'
import type { MemoryByPrimary, Reading } from './rows.ts'
import type { Candidate, SurveyTask } from './survey.ts'

export interface Refreshed {
  readonly readings: readonly Reading[]
  readonly memory: MemoryByPrimary
}

/** Reads all candidates and the memory of all primaries, which is null if one does not tell. @throws Fault */
export async function refresh(
  task: SurveyTask,
  addresses: readonly Address[],
  candidates: readonly Candidate[],
  stop: AbortSignal,
): Promise<Refreshed> {
  const byAddress = Map.groupBy(candidates, ({ address }) => formatAddress(address))
  const memory = new Map<string, Memory>()
  const parts = await Promise.all(
    addresses.map((address) => {
      const name = formatAddress(address)
      const own = byAddress.get(name) ?? []
      return withConnection(address, task.reach, stop, async (connection) => {
        const told = await refreshOn(connection, task, own, stop)
        if (told.memory !== null) memory.set(name, told.memory)
        return told.readings
      })
    }),
  )
  return { readings: parts.flat(), memory: memory.size < addresses.length ? null : memory }
}

async function refreshOn(
  connection: Connection,
  { paceOf, missing }: SurveyTask,
  candidates: readonly Candidate[],
  stop: AbortSignal,
): Promise<{ readings: Reading[]; memory: Memory | null }> {
  const { nowMs, memory } = await readServer(connection.ask)
  if (memory instanceof Refusal) missing('INFO', "Redis's memory in top", whyMissing(memory))
  const pace = paceOf(connection.address)
  const keys = candidates.map(({ key }) => key)
  // A script for each key works in a cluster too.
  const refuse = (): void => {}
  const way = { hasScripts: true, haveSlots: true, mostAtOnce: pace.mostAtOnce, missing, refuse }
  const all = await readFigures(paced(connection, pace, stop), keys, ['length', 'oldest', 'bytes', 'groups'], way)
  return {
    readings: candidates.flatMap((candidate, i) => {
      const figures = all[i]
      return figures ? [readingOf(candidate, figures, nowMs)] : []
    }),
    memory: memory instanceof Refusal ? null : memory,
  }
}

function readingOf(candidate: Candidate, { length, oldest, bytes, groups }: Figures, nowMs: number): Reading {
  const oldestMs = oldest === null ? null : Number(parseStreamId(oldest).ms)
  return {
    candidate,
    nowMs,
    entries: length ?? 0,
    memory: bytes,
    bytes: bytes !== null && groups?.count ? undefined : bytes,
    oldestMs: oldestMs !== null && isTime(oldestMs, nowMs) ? oldestMs : null,
    groups,
  }
}

/** Reads what the entries of streams with groups take: some are sampled, so it is done only for those that are shown. @throws Fault */
export async function withEntryBytes<T extends Reading>(
  { reach, paceOf, missing }: SurveyTask,
  readings: readonly T[],
  stop: AbortSignal,
): Promise<T[]> {
  const open = readings.filter(({ bytes }) => bytes === undefined)
  const byAddress = Map.groupBy(open, ({ candidate }) => formatAddress(candidate.address))
  const found = new Map<Reading, number | null>()
  await Promise.all(
    [...byAddress.values()].map((own) => {
      const { address } = (own[0] as T).candidate
      return withConnection(address, reach, stop, async (connection) => {
        const ask = paced(connection, paceOf(address), stop)
        const habits = memoryHabits(ask)
        await Promise.all(
          own.map(async (one) => {
            found.set(one, await entryBytes(ask, one.candidate.key, one.memory ?? 0, habits, missing))
          }),
        )
      })
    }),
  )
  return readings.map((one) => (found.has(one) ? { ...one, bytes: found.get(one) ?? null } : one))
}

/** What the entries take of the memory that Redis reports for them and for the groups; null where the ACL hides it. */
async function entryBytes(
  ask: Ask,
  key: Buffer,
  bytes: number,
  habits: ReturnType<typeof memoryHabits>,
  missing: Missing,
): Promise<number | null> {
  try {
    return await bytesOfEntries(ask, key, bytes, habits)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const lack = lackOf(error.command, error.refusal)
    if (lack !== null) missing(lack.command, 'the bytes that top shows', lack.why)
    return null
  }
}

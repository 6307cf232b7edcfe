/** What explain tells of a stream's memory. */
import { bytesOfEntries } from '../look/entry_bytes.ts'
import { memoryHabits } from '../look/memory_habits.ts'
import { memoryCommand } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import { Refusal } from '../redis/refusal.ts'
import { lackOf, type Missing, Refused } from '../redis/refused.ts'

/** What Redis reports for the stream, its groups included; null where the ACL denies it. @throws Refused, Fault */
export async function readMemory(ask: Ask, key: Buffer, missing: Missing): Promise<number | null> {
  const [reply] = await ask([memoryCommand(key)])
  if (!(reply instanceof Refusal)) return Number(reply)
  reportMissing(new Refused(reply, 'MEMORY USAGE'), missing)
  return null
}

/** What the entries take of the memory that Redis reports; null where the ACL hides it. */
export async function entryBytes(ask: Ask, key: Buffer, memory: number, missing: Missing): Promise<number | null> {
  try {
    return await bytesOfEntries(ask, key, memory, memoryHabits(ask))
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    reportMissing(error, missing)
    return null
  }
}

/** @throws Refused if the command is not what is missing */
function reportMissing(refused: Refused, missing: Missing): void {
  const lack = lackOf(refused.command, refused.refusal)
  if (lack === null) throw refused
  missing(lack.command, 'the bytes that explain shows', lack.why)
}

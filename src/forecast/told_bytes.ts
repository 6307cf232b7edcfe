/** What the entries of a stream take, as a forecast needs it: told from what its groups take wherever that may matter. */

import { type Contents, lookAtContents } from '../look/entry_bytes.ts'
import type { Found } from '../look/found.ts'
import type { Habits } from '../look/memory_habits.ts'
import type { Ask } from '../redis/ask.ts'
import { Refused } from '../redis/refused.ts'
import type { Limits } from '../retention/policy.ts'

/** In smaller streams nobody asks what groups take. */
const LEAST_BYTES = 128 * 1024

export interface ToldBytes {
  /** The bytes by which a sweep decides. */
  readonly bytes: number
  /** Null where there are no groups, or they cannot be read, or the stream is small. */
  readonly contents: Contents | null
}

/** `memory` is what Redis reports for the stream, its groups included; null where that is denied. @throws Fault */
export async function tellBytes(
  ask: Ask,
  stream: Found,
  memory: number | null,
  { maxBytes }: Limits,
  habits: Habits,
): Promise<ToldBytes> {
  const contents = stream.contents ?? (await lookInside(ask, stream.key, memory, habits))
  if (contents === null) return { bytes: memory ?? 0, contents }
  const { bytes, likelyBytes } = contents.entries
  // Beside groups a sweep begins only if entries are over the limit for certain, and then brings them to it.
  return { bytes: bytes > maxBytes ? likelyBytes : bytes, contents }
}

async function lookInside(ask: Ask, key: Buffer, memory: number | null, habits: Habits): Promise<Contents | null> {
  if (memory === null || memory < LEAST_BYTES) return null
  try {
    return await lookAtContents(ask, key, memory, habits)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    return null
  }
}

/** What a look at a page of keys results in. */

import type { StreamId } from '../entries/stream_id.ts'
import type { Command } from '../redis/connection.ts'
import type { Refusal } from '../redis/refusal.ts'
import type { Contents } from './entry_bytes.ts'
import type { State } from './stream_state.ts'

/** One stream as it was found. */
export interface Found {
  readonly key: Buffer
  /** Index of its policy. */
  readonly policy: number
  readonly state: State
  /** Bytes that the entries take where a limit needs it, else 0. Where groups take memory too, known only if above the limit. */
  readonly memoryBytes: number
  /** What it is made of, where `MEMORY USAGE` counts groups and is above the limit. */
  readonly contents?: Contents
  /** False for a stream with custom IDs, which no age limit can judge. */
  readonly hasTimeIds: boolean
  /**
   * Entries before this ID are archived. The others stay, but for the hard limits. Undefined where the policy archives
   * nothing: then every entry may go.
   */
  readonly archivedBefore?: StreamId
}

/** A key that could not be looked at: it stopped being a stream, or Redis refused. */
export interface Unseen {
  readonly key: Buffer
  readonly policy: number
  readonly refusal: Refusal
  readonly command: Command
}

/** A key with the index of the policy that covers it. */
export interface Covered {
  readonly key: Buffer
  readonly policy: number
}

export interface Looked {
  readonly found: Found[]
  readonly unseen: Unseen[]
}

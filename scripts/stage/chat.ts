/** What a chat service writes to Redis: busy and quiet conversations, and one fan-out stream with every message. */

import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from './redis_client.ts'

export const CONVERSATIONS = 100
export const MESSAGES_PER_HOUR = 1_000
export const DAYS = 30
/** The fan-out stream gets every message, and a whole month of it would be as large as all conversations. */
const FANOUT_DAYS = 2

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const FANOUT = 'stream:fanout:messages'

/** XADDs sent at once. The next lot is sent while Redis works on this one. */
const LOT = 150

export interface Chat {
  /** Busy conversations appear more often, so that a random pick writes to them more often. */
  readonly draw: readonly string[]
  readonly texts: readonly string[]
}

export function makeChat(): Chat {
  const conversations = Array.from({ length: CONVERSATIONS }, () => `stream:conversation:${randomUUID()}`)
  return {
    // The busiest gets about ten times as many messages as the quietest.
    draw: conversations.flatMap((key, rank) => Array<string>(Math.round(400 / (rank + 10))).fill(key)),
    texts: Array.from({ length: 500 }, writeText),
  }
}

/**
 * Writes the messages of the month before `nowMs` (ms since 1970). Returns the number of entries.
 *
 * @throws the signal's reason, at the latest one lot after it is aborted
 */
export async function writeHistory(
  client: Client,
  chat: Chat,
  nowMs: number,
  signal: AbortSignal,
  messagesPerHour = MESSAGES_PER_HOUR,
): Promise<number> {
  const spacingMs = HOUR_MS / messagesPerHour
  const messages = DAYS * 24 * messagesPerHour
  const beganMs = nowMs - DAYS * DAY_MS
  const fanoutMs = nowMs - FANOUT_DAYS * DAY_MS
  let entries = 0
  let underway: Promise<unknown> = Promise.resolve()
  for (let first = 0; first < messages; first += LOT) {
    if (signal.aborted) await underway
    signal.throwIfAborted()
    const lot: Promise<unknown>[] = []
    for (let number = first; number < Math.min(first + LOT, messages); number++) {
      // A random time within the span of this message: times are uneven, but never go back.
      const ms = Math.floor(beganMs + (number + Math.random()) * spacingMs)
      const conversation = pick(chat.draw)
      lot.push(write(client, chat, conversation, `${ms}-0`))
      if (ms >= fanoutMs) lot.push(write(client, chat, FANOUT, `${ms}-0`))
    }
    entries += lot.length
    await underway
    underway = Promise.all(lot)
  }
  await underway
  return entries
}

/** Writes a few messages a second until aborted, each to its conversation and to the fan-out stream. */
export async function keepWriting(client: Client, chat: Chat, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await Promise.all([write(client, chat, pick(chat.draw), '*'), write(client, chat, FANOUT, '*')])
    await pause(50)
  }
}

function write(client: Client, chat: Chat, key: string, id: string): Promise<unknown> {
  const sender = `user-${Math.floor(Math.random() * 1_000)}`
  return client.sendCommand(['XADD', key, id, 'sender', sender, 'text', pick(chat.texts)])
}

const WORDS = 'so we said that the train at nine is late again and nobody told me about lunch on thursday yes'.split(
  ' ',
)

/** 400 to 550 characters; with the sender, an entry has about 500 bytes. */
function writeText(): string {
  const length = 400 + Math.random() * 150
  let text = pick(WORDS)
  while (text.length < length) text += ` ${pick(WORDS)}`
  return text
}

function pick<T>(among: readonly T[]): T {
  return among[Math.floor(Math.random() * among.length)] as T
}

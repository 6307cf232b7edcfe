/** Reads what `top` shows of streams: many in one script where Redis allows it, else by plain commands. */

import { LEAST_COST, leastCosts } from '../entries/bites.ts'
import { fieldsOf } from '../look/fields.ts'
import { memoryCommand, oldestCommand, readOldest } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, isServerWide, Refusal } from '../redis/refusal.ts'
import { lackOf, type Missing, Refused } from '../redis/refused.ts'

/** What to read of a stream. */
export type Figure = 'length' | 'oldest' | 'bytes' | 'groups'

/** What was read of one stream; a figure that was not asked for, or is missing, is null. */
export interface Figures {
  readonly length: number | null
  /** The ID of the oldest entry; null also for an empty stream. */
  readonly oldest: string | null
  /** As Redis reports it, with the groups. */
  readonly bytes: number | null
  readonly groups: GroupFigures | null
}

/** Of all groups of a stream. */
export interface GroupFigures {
  readonly count: number
  /** The greatest one; null where Redis knows none. */
  readonly lag: number | null
  readonly pending: number
  readonly consumers: number
}

/** How figures can be read on one primary. */
export interface ReadingWay {
  /** Becomes false once Redis refuses the script. */
  hasScripts: boolean
  readonly mostAtOnce: number
  /** A cluster refuses a script over several slots. */
  readonly haveSlots: boolean
  readonly missing: Missing
  /** Called for each stream that Redis refuses to show at all. */
  readonly refuse: (refused: Refused) => void
}

/** Most keys in one script. */
const MOST_KEYS = 32
/** Entry bytes after which a script ends early; what is left is asked again. */
const MOST_BYTES = 256 * 1024

/**
 * For each key five numbers and an ID: length, ID of the oldest entry, memory, groups, lag, pending, consumers. -1 stands for
 * a figure that was not asked for, and a length of -1 for a key that is not a stream.
 */
const FIGURES_LUA = `
local rows, bytes = {}, 0
local function asked(figure) return string.find(ARGV[1], figure, 1, true) end
local function isGone(reply)
  return string.sub(reply.err, 1, 9) == 'WRONGTYPE' or string.find(reply.err, 'no such key', 1, true)
end
for i = 1, #KEYS do
  local key, row = KEYS[i], {-1, '', -1, -1, -1, -1, -1}
  rows[i] = row
  local length = redis.pcall('XLEN', key)
  if type(length) == 'table' then
    if not isGone(length) then return length end
  else
    row[1] = length
    if asked('oldest') and length > 0 then
      local entry = redis.pcall('XRANGE', key, '-', '+', 'COUNT', 1)
      if entry.err then return entry end
      if entry[1] then
        row[2] = entry[1][1]
        for _, field in ipairs(entry[1][2]) do bytes = bytes + #field end
      end
    end
    if asked('bytes') then
      local memory = redis.pcall('MEMORY', 'USAGE', key)
      if type(memory) == 'table' then return memory end
      row[3] = memory or -1
    end
    if asked('groups') then
      local groups = redis.pcall('XINFO', 'GROUPS', key)
      if groups.err then
        if not isGone(groups) then return groups end
        groups = {}
      end
      row[4], row[6], row[7] = #groups, 0, 0
      for _, group in ipairs(groups) do
        for at = 1, #group, 2 do
          local name, value = group[at], group[at + 1]
          if name == 'lag' and value and value > row[5] then row[5] = value end
          if name == 'pending' then row[6] = row[6] + value end
          if name == 'consumers' then row[7] = row[7] + value end
        end
      end
    end
  end
  if bytes > ${MOST_BYTES} then break end
end
return rows`

/**
 * Reads the figures of each key, in order; null for a key that is not a stream, or that Redis refuses to show.
 * @throws Fault when the connection fails or the whole server refuses
 */
export async function readFigures(
  ask: Ask,
  keys: readonly Buffer[],
  asked: readonly Figure[],
  way: ReadingWay,
): Promise<(Figures | null)[]> {
  const read: (Figures | null)[] = []
  while (way.hasScripts && read.length < keys.length) {
    const chunks = chunksOf(keys.slice(read.length), way)
    const commands = chunks.map((chunk): Command => {
      return ['EVAL_RO', FIGURES_LUA, String(chunk.length), ...chunk, asked.join()]
    })
    const costs = chunks.map((chunk) => chunk.length * asked.length * LEAST_COST)
    const replies = await ask(commands, costs)
    const refusal = replies.find((reply) => reply instanceof Refusal)
    if (refusal !== undefined) {
      if (isServerWide(refusal)) throw Fault.of(refusal)
      way.hasScripts = false
      break
    }
    for (const [i, rows] of (replies as (readonly Row[])[]).entries()) {
      read.push(...rows.map(figuresIn))
      if (rows.length < (chunks[i]?.length ?? 0)) break
    }
  }
  return read.length < keys.length ? [...read, ...(await readPlainly(ask, keys.slice(read.length), asked, way))] : read
}

type Row = readonly [number, Buffer, number, number, number, number, number]

function figuresIn([length, oldest, bytes, count, lag, pending, consumers]: Row): Figures | null {
  if (length < 0) return null
  return {
    length,
    oldest: oldest.length === 0 ? null : oldest.toString(),
    bytes: bytes < 0 ? null : bytes,
    groups: count < 0 ? null : { count, lag: lag < 0 ? null : lag, pending, consumers },
  }
}

function chunksOf(keys: readonly Buffer[], { haveSlots, mostAtOnce }: ReadingWay): (readonly Buffer[])[] {
  const most = haveSlots ? 1 : Math.max(1, Math.min(MOST_KEYS, Math.floor(mostAtOnce / (4 * LEAST_COST))))
  const chunks: (readonly Buffer[])[] = []
  for (let from = 0; from < keys.length; from += most) chunks.push(keys.slice(from, from + most))
  return chunks
}

const COMMAND_FOR: Readonly<Record<Figure, (key: Buffer) => Command>> = {
  length: (key) => ['XLEN', key],
  oldest: oldestCommand,
  bytes: memoryCommand,
  groups: (key) => ['XINFO', 'GROUPS', key],
}

async function readPlainly(
  ask: Ask,
  keys: readonly Buffer[],
  asked: readonly Figure[],
  { missing, refuse }: ReadingWay,
): Promise<(Figures | null)[]> {
  const commands = keys.flatMap((key) => asked.map((figure) => COMMAND_FOR[figure](key)))
  const replies = await ask(commands, leastCosts(commands.length))
  return keys.map((_, i): Figures | null => {
    const own = new Map(asked.map((figure, at) => [figure, replies[i * asked.length + at] ?? null] as const))
    const told = (figure: Figure): Reply => {
      const reply = own.get(figure) ?? null
      if (!(reply instanceof Refusal)) return reply
      if (isServerWide(reply)) throw Fault.of(reply)
      const [name = '', word = ''] = COMMAND_FOR[figure](Buffer.alloc(0)).map(String)
      const lack = lackOf(figure === 'bytes' || figure === 'groups' ? `${name} ${word}` : name, reply)
      if (lack !== null) missing(lack.command, 'top', lack.why)
      return null
    }
    const length = told('length')
    const refusal = own.get('length')
    // A key that is a stream no longer is left out, as by the script.
    if (refusal instanceof Refusal && refusal.word !== 'WRONGTYPE') refuse(new Refused(refusal, 'XLEN'))
    if (typeof length !== 'number' && asked.includes('length')) return null
    const [bytes, groups] = [told('bytes'), told('groups')]
    return {
      length: typeof length === 'number' ? length : null,
      oldest: readOldest(told('oldest'))?.id ?? null,
      bytes: typeof bytes === 'number' ? bytes : null,
      groups: Array.isArray(groups) ? sumOfGroups(groups) : null,
    }
  })
}

function sumOfGroups(groups: readonly Reply[]): GroupFigures {
  let [lag, pending, consumers] = [-1, 0, 0]
  for (const fields of groups.map(fieldsOf)) {
    lag = Math.max(lag, typeof fields.get('lag') === 'number' ? Number(fields.get('lag')) : -1)
    pending += Number(fields.get('pending'))
    consumers += Number(fields.get('consumers'))
  }
  return { count: groups.length, lag: lag < 0 ? null : lag, pending, consumers }
}

/** Cluster slots: the slot of a key, which node serves it, and whether it is moving to another node. */
import type { Address } from './address.ts'
import type { Connection } from './connection.ts'
import { Refusal } from './refusal.ts'
import { faultOf } from './refused.ts'

/** Number of slots in a cluster. Every key belongs to one. */
export const SLOTS = 16_384

/** Adjacent slots and the primary that serves them. Both ends are included. */
export interface SlotRange {
  readonly from: number
  readonly to: number
  readonly address: Address
}

/** The slot of a key. If its first braces hold something (a hash tag), only that counts. */
export function slotOf(key: string | Uint8Array): number {
  const bytes = Buffer.from(key)
  const open = bytes.indexOf('{')
  const close = open < 0 ? -1 : bytes.indexOf('}', open)
  return crc16(close > open + 1 ? bytes.subarray(open + 1, close) : bytes) % SLOTS
}

/** CRC-16/XMODEM, the hash that Redis Cluster uses. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)
    crc &= 0xffff
  }
  return crc
}

/** A node's slots, from its own line of `CLUSTER NODES`. */
export interface OwnSlots {
  /** The ranges it serves, as one text. */
  readonly served: string
  /** Whether some are being moved (`[slot->-id]` or `[slot-<-id]`): keys move one by one, and a scan may miss one on the way. */
  readonly areOpen: boolean
}

/** @throws Fault, also if the server refuses CLUSTER NODES */
export async function readOwnSlots({ ask }: Connection): Promise<OwnSlots> {
  const [reply] = await ask([['CLUSTER', 'NODES']])
  if (reply instanceof Refusal) throw faultOf(reply, 'CLUSTER NODES', '--redis-mode cluster')
  const own = String(reply)
    .split('\n')
    .find((line) => / (?:\S+,)?myself\b/.test(line))
  // A line has eight fields before the slots.
  const slots = own?.split(' ').slice(8) ?? []
  const isOpen = (slot: string): boolean => slot.startsWith('[')
  return { served: slots.filter((slot) => !isOpen(slot)).join(' '), areOpen: slots.some(isOpen) }
}

/** Which node to ask instead. While a slot is moving, its new node answers only after `ASKING`. */
export interface Redirection {
  readonly address: Address
  readonly asking: boolean
}

/** Parses `MOVED <slot> <host>:<port>` or `ASK …`; null for any other refusal. */
export function redirectionOf(refusal: Refusal, asked: Address): Redirection | null {
  const parts = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(refusal.message)
  if (parts === null) return null
  const address = { host: parts[2] || ('host' in asked ? asked.host : ''), port: Number(parts[3]) }
  return { address, asking: parts[1] === 'ASK' }
}

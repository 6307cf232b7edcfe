/** The slots of a cluster: which one a key belongs to, who serves it, and whether it is on its way to another node. */
import type { Address } from './address.ts'
import type { Connection } from './connection.ts'
import { Fault, Refusal } from './refusal.ts'

/** How many there are; every key belongs to one. */
export const SLOTS = 16_384

/** Slots next to each other, and the primary that serves them. */
export interface SlotRange {
  readonly from: number
  readonly to: number
  readonly address: Address
}

/** The slot of a key: of what stands in its first braces, where something does. */
export function slotOf(key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/s.exec(key)?.[1]
  return crc16(Buffer.from(tag ?? key)) % SLOTS
}

/** CRC-16/XMODEM, by which clusters spread keys. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)
    crc &= 0xffff
  }
  return crc
}

/** The slots of one node, as it says itself in its own line of `CLUSTER NODES`. */
export interface OwnSlots {
  /** Ranges that it serves, as one text. */
  readonly served: string
  /** Whether some are open, `[slot->-id]` or `[slot-<-id]`: their keys move one by one, and one may be on neither side. */
  readonly areOpen: boolean
}

/** Asks a node for its slots. @throws Fault where Redis does not allow to ask */
export async function readOwnSlots({ ask }: Connection): Promise<OwnSlots> {
  const [reply] = await ask([['CLUSTER', 'NODES']])
  if (reply instanceof Refusal) throw Fault.of(reply)
  const own = String(reply)
    .split('\n')
    .find((line) => / (?:\S+,)?myself\b/.test(line))
  // Eight fields stand before the slots.
  const slots = own?.split(' ').slice(8) ?? []
  const isOpen = (slot: string): boolean => slot.startsWith('[')
  return { served: slots.filter((slot) => !isOpen(slot)).join(' '), areOpen: slots.some(isOpen) }
}

/** Where else to ask. While a slot is open its new node answers only to those who say `ASKING`. */
export interface Redirection {
  readonly address: Address
  readonly asking: boolean
}

/** Where a key has gone, out of `MOVED <slot> <host>:<port>` or `ASK …`; null for another refusal. */
export function redirectionOf(refusal: Refusal, asked: Address): Redirection | null {
  const parts = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(refusal.message)
  if (parts === null) return null
  const address = { host: parts[2] || ('host' in asked ? asked.host : ''), port: Number(parts[3]) }
  return { address, asking: parts[1] === 'ASK' }
}

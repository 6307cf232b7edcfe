/**
 * Reads from a DUMP how a stream is laid out in Redis's memory: its nodes, each a listpack, with their live and deleted
 * entries. Needs a server with `rdbcompression no`.
 */

/** `<ms>-<seq>` as two numbers. */
export interface Id {
  readonly ms: bigint
  readonly seq: bigint
}

export interface Node {
  /** IDs of entries that can be read. */
  readonly live: readonly Id[]
  /** IDs of entries that are marked as deleted and still take space. */
  readonly deleted: readonly Id[]
}

const STREAM_TYPES = [15, 19, 21]
const DELETED = 1
const SAME_FIELDS = 2

/** The nodes of a stream, oldest first. @throws RangeError if the dump is not a stream in a known format */
export function layoutOf(dump: Buffer): Node[] {
  const type = dump[0] ?? -1
  if (!STREAM_TYPES.includes(type)) throw new RangeError(`not an RDB type of a stream: ${type}`)
  const reader = new RdbReader(dump, 1)
  const count = reader.length()
  return Array.from({ length: count }, () => {
    const key = reader.text()
    return nodeOf({ ms: key.readBigUInt64BE(0), seq: key.readBigUInt64BE(8) }, new Listpack(reader.text()))
  })
}

function nodeOf(master: Id, listpack: Listpack): Node {
  const counted = listpack.number()
  const countedDeleted = listpack.number()
  const masterFields = listpack.number()
  listpack.skip(masterFields + 1)
  const live: Id[] = []
  const deleted: Id[] = []
  while (!listpack.atEnd) {
    const flags = listpack.number()
    const ms = BigInt.asUintN(64, master.ms + listpack.integer())
    const id = { ms, seq: BigInt.asUintN(64, master.seq + listpack.integer()) }
    listpack.skip(flags & SAME_FIELDS ? masterFields : 2 * listpack.number())
    listpack.skip(1)
    ;(flags & DELETED ? deleted : live).push(id)
  }
  if (live.length !== counted || deleted.length !== countedDeleted) {
    throw new RangeError(`a node counts ${counted} and ${countedDeleted}, holds ${live.length} and ${deleted.length}`)
  }
  return { live, deleted }
}

class RdbReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  length(): number {
    const first = this.#bytes.readUInt8(this.#at++)
    switch (first >> 6) {
      case 0:
        return first & 0x3f
      case 1:
        return ((first & 0x3f) << 8) | this.#bytes.readUInt8(this.#at++)
      case 2: {
        const wide = first === 0x81
        const value = wide ? Number(this.#bytes.readBigUInt64BE(this.#at)) : this.#bytes.readUInt32BE(this.#at)
        this.#at += wide ? 8 : 4
        return value
      }
      default:
        throw new RangeError('a compressed string: the server must run with rdbcompression no')
    }
  }

  text(): Buffer {
    const length = this.length()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

class Listpack {
  readonly #bytes: Buffer
  #at = 6

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#bytes[this.#at] === 0xff
  }

  skip(elements: number): void {
    for (let i = 0; i < elements; i++) this.#next()
  }

  number(): number {
    return Number(this.integer())
  }

  integer(): bigint {
    const at = this.#at
    const first = this.#bytes.readUInt8(at)
    this.#next()
    if (first < 0x80) return BigInt(first)
    if (first >> 5 === 6) return BigInt.asIntN(13, BigInt(((first & 0x1f) << 8) | this.#bytes.readUInt8(at + 1)))
    if (first === 0xf1) return BigInt(this.#bytes.readInt16LE(at + 1))
    if (first === 0xf2) return BigInt(this.#bytes.readIntLE(at + 1, 3))
    if (first === 0xf3) return BigInt(this.#bytes.readInt32LE(at + 1))
    if (first === 0xf4) return this.#bytes.readBigInt64LE(at + 1)
    throw new RangeError(`not an integer in a listpack: ${first}`)
  }

  /** Skips one element and the length that follows it. */
  #next(): void {
    const size = this.#size()
    this.#at += size
    // The length is in groups of seven bits, the highest first. For 16,383 some servers use one group more.
    const pieces = Math.max(1, Math.ceil(Math.log2(size + 1) / 7))
    this.#at += this.#bytes[this.#at] === Math.floor(size / 128 ** (pieces - 1)) ? pieces : pieces + 1
  }

  #size(): number {
    const first = this.#bytes.readUInt8(this.#at)
    if (first < 0x80) return 1
    if (first >> 6 === 2) return 1 + (first & 0x3f)
    if (first >> 5 === 6) return 2
    if (first >> 4 === 14) return 2 + (((first & 0x0f) << 8) | this.#bytes.readUInt8(this.#at + 1))
    if (first === 0xf0) return 5 + this.#bytes.readUInt32LE(this.#at + 1)
    const integer = { 241: 3, 242: 4, 243: 5, 244: 9 }[first]
    if (integer === undefined) throw new RangeError(`not an element of a listpack: ${first}`)
    return integer
  }
}

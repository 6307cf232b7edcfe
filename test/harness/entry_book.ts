/** A record of every entry that was ever added, to check that each is still in Redis or in the archive, byte for byte. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { type Entry, parseLine } from '../../src/archive/entry_line.ts'
import { EVERY_ID } from '../../src/entries/id_range.ts'
import { isBefore, parseStreamId } from '../../src/entries/stream_id.ts'
import { type Connection, connect } from '../../src/redis/connection.ts'
import { Refusal } from '../../src/redis/refusal.ts'
import { readEntries } from '../../src/retrieve/retrieve.ts'
import type { Store } from '../../src/store/store.ts'
import { randomFields } from './archived.ts'
import type { RedisServer } from './redis_server.ts'
import type { Random } from './retention_model/random.ts'

type Fields = Entry['fields']

/** A connection on which texts are bytes, as the program uses it. It closes when the test ends. */
export async function connectBytes(t: TestContext, { port }: Pick<RedisServer, 'port'>): Promise<Connection> {
  const reach = { credentials: () => ({ username: null, password: null }), database: 0, tls: null }
  const connection = await connect({ host: '127.0.0.1', port }, { ...reach, replyTimeoutMs: 60_000 })
  t.after(() => connection.close())
  return connection
}

/** The entries of a stream in the archive, as `archive cat` prints them. A damaged segment fails the test. */
export async function archivedEntries(store: Store, stream: string): Promise<Entry[]> {
  const entries: Entry[] = []
  const terms = { stream: Buffer.from(stream), range: EVERY_ID, toStream: null }
  const texts = readEntries(store, terms, (fault) => {
    throw fault
  })
  for await (const text of texts)
    for (const line of text.toString().split('\n').slice(0, -1)) entries.push(parseLine(Buffer.from(line)))
  return entries
}

export class EntryBook {
  readonly #connection: Connection
  readonly #added = new Map<string, Map<string, Fields>>()
  readonly #deleted = new Set<string>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Adds an entry with random fields; a null ID lets Redis choose one. Notes it only if Redis took it. */
  async add(stream: string, id: string | null, random: Random): Promise<void> {
    const fields = randomFields(random)
    const [reply] = await this.#connection.ask([['XADD', stream, id ?? '*', ...fields.flat()]])
    assert.ok(Buffer.isBuffer(reply), String(reply instanceof Refusal ? reply.message : reply))
    const noted = this.#added.get(stream) ?? new Map<string, Fields>()
    this.#added.set(stream, noted.set(reply.toString(), fields))
  }

  /** Deletes an entry on purpose: it need not be anywhere afterwards. */
  async delete(stream: string, id: string): Promise<void> {
    this.#deleted.add(`${stream} ${id}`)
    await this.#connection.ask([['XDEL', stream, id]])
  }

  /**
   * Fails unless every entry is in Redis or in the archive, as it was added, and the archive gives each once and in order.
   * @returns how many entries are no longer in Redis
   */
  async check(store: Store): Promise<number> {
    let gone = 0
    for (const [stream, added] of this.#added) {
      const archived = await archivedEntries(store, stream)
      for (const [i, { id, fields }] of archived.entries()) {
        assert.deepEqual(fields, added.get(id), `${stream} ${id} is archived as it was`)
        const before = archived[i - 1]
        if (before !== undefined) assert.ok(isBefore(parseStreamId(before.id), parseStreamId(id)), `${id} comes once`)
      }
      const [reply] = await this.#connection.ask([['XRANGE', stream, '-', '+']])
      const inRedis = new Set((reply as [Buffer][]).map(([id]) => id.toString()))
      const inArchive = new Set(archived.map(({ id }) => id))
      const lost = [...added.keys()].filter(
        (id) => !inRedis.has(id) && !inArchive.has(id) && !this.#deleted.has(`${stream} ${id}`),
      )
      assert.deepEqual(lost, [], `entries of ${stream} in neither Redis nor the archive`)
      gone += added.size - inRedis.size
    }
    return gone
  }
}

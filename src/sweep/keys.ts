/** Finds the streams: one SCAN of one primary, whatever the number of policies. */

import type { Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { LEAST_SHARE } from '../retention/bites.ts'
import type { Ask } from './stream.ts'

/** A key takes SCAN a third of what a command takes by itself. */
const SHARE_OF_KEY = LEAST_SHARE / 3

/**
 * The keys of streams that match, in pages; a page may be empty. The next page is asked for while the caller works on
 * this one. Redis may give a key twice while its table is being resized; trimming it again is harmless.
 * @throws Fault when SCAN is refused or the connection is lost
 */
export async function* pagesOfKeys(ask: Ask, match: string, count: number): AsyncGenerator<readonly Buffer[]> {
  const scan = (cursor: string): Promise<Reply[]> =>
    ask([['SCAN', cursor, 'MATCH', match, 'COUNT', String(count), 'TYPE', 'stream']], count * SHARE_OF_KEY)
  let cursor = '0'
  let next = scan(cursor)
  do {
    const [reply] = await next
    if (reply instanceof Refusal) throw Fault.of(reply)
    const [position, keys] = reply as [Buffer, Buffer[]]
    cursor = position.toString()
    if (cursor !== '0') {
      next = scan(cursor)
      // It may fail while nobody waits for it yet, or nobody ever will; the caller's own commands fail as well.
      next.catch(() => {})
    }
    yield keys
  } while (cursor !== '0')
}

/** Replies that are lists of names and values, as `XINFO` and `CONFIG GET` give them. */

import type { Reply } from '../redis/connection.ts'

export function fieldsOf(reply: Reply): Map<string, Reply> {
  const fields = new Map<string, Reply>()
  if (Array.isArray(reply)) for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), reply[i + 1])
  return fields
}

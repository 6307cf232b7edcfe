/** Reads RESP2 replies. */

/** A map from a flat list of names and values. */
export function fieldsOf(reply: unknown): Map<string, unknown> {
  const list = reply as readonly unknown[]
  return new Map(list.flatMap((name, i) => (i % 2 === 0 ? [[String(name), list[i + 1]] as const] : [])))
}

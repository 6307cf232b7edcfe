/** The file of `--policy-file`: one policy a line, comments, and nothing else. */
import { createHash } from 'node:crypto'
import { readSmallFile } from '../flags/file.ts'
import type { Given, Reader } from '../flags/reader.ts'
import { BrokenRule } from '../text/quantities.ts'

export interface PolicyFileText {
  /** A short hash of the content. */
  readonly version: string
  readonly specs: readonly Given[]
}

/** Enough to tell the versions of one file apart, and short enough to read. */
const VERSION_DIGITS = 12

/** The size of the largest ConfigMap. */
const MOST_BYTES = 1024 * 1024

/** Reads the file now. Null without the flag; undefined if it noted a problem. */
export function readPolicyFile(reader: Reader): PolicyFileText | null | undefined {
  const given = reader.text('policy-file')
  if (given === undefined) return null
  return reader.attempt(given, (path) => {
    const bytes = readSmallFile(path, MOST_BYTES)
    const specs = linesOf(bytes).flatMap((line, i): Given[] => {
      const text = line.trimEnd()
      if (text === '' || text.trimStart().startsWith('#')) return []
      return [{ text, subject: `line ${i + 1} of --policy-file ${path}`, source: 'file' }]
    })
    // An empty file is more likely a mistake than a wish, and without its policies others would hold their streams.
    if (specs.length === 0) throw new BrokenRule('must be a file with at least one policy')
    return { version: createHash('sha256').update(bytes).digest('hex').slice(0, VERSION_DIGITS), specs }
  })
}

/** @throws BrokenRule if it is not UTF-8: a replaced character would make another glob */
function linesOf(bytes: Buffer): string[] {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).split('\n')
  } catch {
    throw new BrokenRule('must be a file in UTF-8')
  }
}

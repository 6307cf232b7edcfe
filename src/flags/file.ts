/** Files that flags name. */
import { readFileSync, statSync } from 'node:fs'
import { BrokenRule, roundSize } from '../text/quantities.ts'

/** @throws BrokenRule with the system's code, such as ENOENT, if the file cannot be read */
export function readBytes(path: string): Buffer {
  return orBroken(() => readFileSync(path))
}

/**
 * The same for a file that is read again while the daemon runs. Reading a pipe or a device could last for ever, and a file
 * that is far too big would take the memory of the process.
 * @throws BrokenRule also for what is not a regular file, and for more bytes than `most`
 */
export function readSmallFile(path: string, most: number): Buffer {
  const stats = orBroken(() => statSync(path))
  if (!stats.isFile())
    throw new BrokenRule(`must be a readable file (${stats.isDirectory() ? 'EISDIR' : 'not a file'})`)
  if (stats.size > most) throw new BrokenRule(`must be a file of at most ${roundSize(most)}`)
  return readBytes(path)
}

function orBroken<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new BrokenRule(`must be a readable file (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
}

/** Files that flags name. */
import { readFileSync } from 'node:fs'
import { BrokenRule } from '../text/quantities.ts'

/** @throws BrokenRule with the system's code, such as ENOENT, if the file cannot be read */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new BrokenRule(`must be a readable file (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
}

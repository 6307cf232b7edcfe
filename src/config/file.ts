/** Files that flags name. */
import { readFileSync } from 'node:fs'
import { BrokenRule } from '../text/quantities.ts'

/** The bytes of a file. @throws BrokenRule with the system's word for it, such as ENOENT, where it cannot be read */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new BrokenRule(
      `must be a file that can be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    )
  }
}

/** Keeps segments in a folder of this machine. */

import { randomUUID } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, open, opendir, readdir, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ArchiveCause, ArchiveFault, type Store, type Stored } from './store.ts'

/** Files that are not complete yet are written here. */
const UNFINISHED = '.unfinished'

/** A crash leaves its unfinished file behind. Nobody writes one for longer than this. */
const ABANDONED_AFTER_MS = 3_600_000

const CAUSES: Readonly<Record<string, ArchiveCause>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  EEXIST: 'missing',
}

export class FileStore implements Store {
  readonly #folder: string
  #hasCleaned = false

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Writes to a file of another name first, and renames it when it is complete and on disk. Then the folder goes to disk
   * too, since it holds the name.
   */
  async put(name: string, content: readonly Buffer[]): Promise<void> {
    const path = join(this.#folder, name)
    const unfinished = join(this.#folder, UNFINISHED, randomUUID())
    try {
      await makeFolder(dirname(unfinished))
      await makeFolder(dirname(path))
      if (!this.#hasCleaned) await removeAbandoned(dirname(unfinished))
      this.#hasCleaned = true
      try {
        const file = await open(unfinished, 'wx')
        try {
          await file.writeFile(content)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(unfinished, path)
      } catch (error) {
        await unlink(unfinished).catch(() => {})
        throw error
      }
      await syncFolder(dirname(path))
    } catch (error) {
      throw asFault(error, `could not store ${path}`)
    }
  }

  async *list(folder: string): AsyncGenerator<Stored> {
    const path = join(this.#folder, folder)
    let entries: { name: string; isFolder: boolean }[] = []
    try {
      const found = await readdir(path, { withFileTypes: true })
      entries = found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
    } catch (error) {
      // An archive that nothing was stored in yet. Without its own folder it is missing.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && existsSync(this.#folder)) return
      throw asFault(error, `could not list ${path}`)
    }
    for (const { name, isFolder } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inside = `${folder}/${name}`
      if (isFolder) yield* this.list(inside)
      else yield { name: inside, bytes: await this.#size(inside) }
    }
  }

  async #size(name: string): Promise<number> {
    const path = join(this.#folder, name)
    try {
      return (await stat(path)).size
    } catch (error) {
      throw asFault(error, `could not read ${path}`)
    }
  }

  async tail({ name, bytes }: Stored, most: number): Promise<Buffer> {
    const path = join(this.#folder, name)
    const length = Math.min(bytes, most)
    try {
      const file = await open(path)
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, bytes - length)
        return buffer.subarray(0, bytesRead)
      } finally {
        await file.close()
      }
    } catch (error) {
      throw asFault(error, `could not read ${path}`)
    }
  }

  async *read(name: string): AsyncGenerator<Buffer> {
    const path = join(this.#folder, name)
    try {
      for await (const piece of createReadStream(path)) yield piece as Buffer
    } catch (error) {
      throw asFault(error, `could not read ${path}`)
    }
  }

  close(): void {}
}

/**
 * Makes a folder and its parents, and puts each new name to disk. Not by `mkdir` with `recursive`, which reports a read-only
 * file system as ENOENT.
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    // A root folder is its own parent.
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await makeFolder(path)
    return
  }
  await syncFolder(dirname(path))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function removeAbandoned(folder: string): Promise<void> {
  for await (const { name } of await opendir(folder)) {
    const path = join(folder, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (mtimeMs < Date.now() - ABANDONED_AFTER_MS) await unlink(path).catch(() => {})
  }
}

function asFault(error: unknown, what: string): ArchiveFault {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException
  return new ArchiveFault(CAUSES[code] ?? 'other', `${what} (${code})`, { cause: error })
}

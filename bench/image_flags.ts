/** The options the image gives Node. */
import { readFile } from 'node:fs/promises'

/** Those between Node and the program in the entry point of the Dockerfile, so that the two cannot differ. */
export async function imageFlags(): Promise<string[]> {
  const dockerfile = await readFile(new URL('../Dockerfile', import.meta.url), 'utf8')
  const entry = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
  return entry.slice(1, -1)
}

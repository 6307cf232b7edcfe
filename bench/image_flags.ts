/** The Node options of the image. */
import { readFile } from 'node:fs/promises'

/** Read from the Dockerfile's entry point, so that both are always the same. */
export async function imageFlags(): Promise<string[]> {
  const dockerfile = await readFile(new URL('../Dockerfile', import.meta.url), 'utf8')
  const entry = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
  return entry.slice(1, -1)
}

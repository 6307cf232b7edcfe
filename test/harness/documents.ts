/** Reads README and docs, so that tests can compare them with the program. */

import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Every page, by its path in the project. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

/** The text of a page, by its path in the project. */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The path in the project of a test file by its name, such as `sweep`, whatever folder it is in. */
export function testFile(name: string): string {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  const found = files.filter((path) => basename(path) === `${name}.test.ts`)
  if (found.length !== 1) throw new Error(`${found.length} files are named ${name}.test.ts`)
  return join('test', String(found[0]))
}

/** The text under a heading of the second level, up to the next one. */
export function sectionOf(page: string, heading: string): string {
  const [, behind = ''] = page.split(new RegExp(`^## ${heading}$`, 'm'))
  return behind.split(/^## /m)[0] ?? ''
}

/** The rows of the first table of a text, without its head: cells trimmed, `\|` as `|`. */
export function tableIn(text: string): string[][] {
  const [, rows = ''] = /^\|(?:-+\|)+\n((?:\|.*\n)+)/m.exec(text) ?? []
  return rows
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )
}

/** The commands of a page's `sh` blocks, one a line. */
export function commandsIn(page: string): string[] {
  return Array.from(page.matchAll(/^```sh\n([\s\S]*?)^```$/gm), ([, block = '']) => block)
    .flatMap((block) => block.split('\n'))
    .filter((line) => line !== '')
}

/** Where a link or picture of a page leads inside the project. */
export interface Link {
  /** The path in the project. */
  readonly path: string
  /** The heading it points to, or ''. */
  readonly anchor: string
}

/** The links and pictures of a page that stay inside the project. */
export function linksOf(path: string, text = readPage(path)): Link[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, (code) => code.replaceAll(']', ' '))
  const targets = Array.from(
    prose.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g),
    ([, link, attribute]) => link ?? attribute ?? '',
  )
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', anchor = ''] = target.split('#')
      return { path: file === '' ? path : relative('.', join(dirname(path), file)), anchor }
    })
}

/** The anchors that GitHub gives to the headings of a page. */
export function anchorsOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '')
  return Array.from(prose.matchAll(/^#+ (.*)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** Reads README and docs, so that tests can compare them with the program. */

import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { ROOT } from './files.ts'

/** Every page, as a path in the project. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

/** The text of a file, by its path in the project. */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Finds a test file by its name, such as `sweep`, in any folder. @returns its path in the project */
export function testFile(name: string): string {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  const found = files.filter((path) => basename(path) === `${name}.test.ts`)
  if (found.length !== 1) throw new Error(`${found.length} files are named ${name}.test.ts`)
  return join('test', String(found[0]))
}

/** The text under a second-level heading, up to the next one. */
export function sectionOf(page: string, heading: string): string {
  const [, behind = ''] = page.split(new RegExp(`^## ${heading}$`, 'm'))
  return behind.split(/^## /m)[0] ?? ''
}

/** The rows of the first table in a text, without its head. Cells are trimmed, and `\|` becomes `|`. */
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

/** The commands in a page's `sh` blocks, one per line. */
export function commandsIn(page: string): string[] {
  return Array.from(page.matchAll(/^```sh\n([\s\S]*?)^```$/gm), ([, block = '']) => block)
    .flatMap((block) => block.split('\n'))
    .filter((line) => line !== '')
}

/** The target of a link or picture inside the project. */
export interface Link {
  /** A path in the project. */
  readonly path: string
  /** The anchor of a heading, or ''. */
  readonly anchor: string
}

/** A page's links and pictures that lead to files of the project. */
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

/** The anchors that GitHub generates for a page's headings. */
export function anchorsOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '')
  return Array.from(prose.matchAll(/^#+ (.*)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

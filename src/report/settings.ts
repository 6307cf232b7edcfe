/** The configuration in effect, each value with where it came from. */
import { flags } from '../config/flags.ts'
import type { Setting } from '../config/settings.ts'
import { sentence } from './table.ts'

/** By flag: its value, or values where it was given several times, and where that came from. */
export function settingFields(settings: readonly Setting[]) {
  const fields: Record<string, { value: string | string[]; from: string }> = {}
  for (const { flag, value, from } of settings) {
    const before = fields[flag]?.value
    fields[flag] = { value: before === undefined ? value : [before, value].flat(), from }
  }
  return fields
}

/** What was set, each on a line with where; and what was not, together. */
export function settingLines(settings: readonly Setting[]): string[] {
  const told = settings.map(({ flag, value, from }) => ({
    // The password is told of like the others, and is no flag.
    text: `${Object.hasOwn(flags, flag) ? '--' : ''}${flag} ${value}`.replaceAll(' ', '\u00a0'),
    from,
  }))
  const set = told.filter(({ from }) => from !== 'default')
  const others = told.filter(({ from }) => from === 'default').map(({ text }) => text)
  return [
    ...set.flatMap(({ text, from }) => sentence(`${text} (${from === 'flag' ? 'a flag' : `from ${from}`})`)),
    ...sentence(`by default: ${others.join(', ')}`),
  ]
}

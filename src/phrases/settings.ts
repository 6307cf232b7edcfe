/** The configuration in effect, and where each value came from. */

import type { Setting } from '../config/settings.ts'
import { flags } from '../flags/flags.ts'
import { sentence } from './table.ts'

/** By flag: its value, or all its values if it was given several times, and where they came from. */
export function settingFields(settings: readonly Setting[]) {
  const fields: Record<string, { value: string | string[]; from: string }> = {}
  for (const { flag, value, from } of settings) {
    const before = fields[flag]?.value
    fields[flag] = { value: before === undefined ? value : [before, value].flat(), from }
  }
  return fields
}

/** One line for each flag that was set, with where; then all flags that have their default. */
export function settingLines(settings: readonly Setting[]): string[] {
  const all = settings.map(({ flag, value, from }) => ({
    // The password is listed too, but has no flag.
    text: `${Object.hasOwn(flags, flag) ? '--' : ''}${flag} ${value}`.replaceAll(' ', '\u00a0'),
    from,
  }))
  const set = all.filter(({ from }) => from !== 'default')
  const defaults = all.filter(({ from }) => from === 'default').map(({ text }) => text)
  return [
    ...set.flatMap(({ text, from }) => sentence(`${text} (${from === 'flag' ? 'a flag' : `from ${from}`})`)),
    ...sentence(`by default: ${defaults.join(', ')}`),
  ]
}

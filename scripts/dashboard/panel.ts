/** The part of Grafana's dashboard format that this project's dashboard uses; anything else is an error. */

import type { Series } from '../stage/prometheus.ts'

type Override =
  | {
      readonly matcher: { readonly id: 'byValue'; readonly options: { readonly reducer: string } }
      readonly properties: readonly { readonly id: string; readonly value: { readonly legend: boolean } }[]
    }
  | {
      readonly matcher: { readonly id: 'byFrameRefID'; readonly options: string }
      readonly properties: readonly { readonly id: string; readonly value: { readonly dash: readonly number[] } }[]
    }

type Mapping =
  | { readonly type: 'value'; readonly options: Readonly<Record<string, { readonly text: string }>> }
  | {
      readonly type: 'special'
      readonly options: { readonly match: 'null'; readonly result: { readonly text: string; readonly color: string } }
    }

export interface Panel {
  readonly type: string
  readonly title: string
  /** In units of Grafana's grid. */
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly {
    readonly refId: string
    readonly expr: string
    readonly legendFormat: string
    readonly instant?: boolean
  }[]
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit?: string
      readonly min?: number
      readonly max?: number
      readonly thresholds?: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] }
      readonly mappings?: readonly Mapping[]
      readonly custom?: { readonly drawStyle: string; readonly lineInterpolation?: string }
    }
    readonly overrides: readonly Override[]
  }
}

export interface Dashboard {
  readonly title: string
  readonly panels: readonly Panel[]
}

/** The time to draw, in seconds since 1970. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly step: number
}

/** One series of a panel, under the name its legend gives it. */
export interface Line {
  readonly name: string
  readonly refId: string
  readonly points: Series['points']
}

const COLOURS: Readonly<Record<string, string>> = { green: '#2f8f56', orange: '#d97706', red: '#c62f3b' }
const GREY = '#6b7280'

/** The text and colour of a value, by the panel's mappings, unit and thresholds; undefined means "no value". */
export function shownValue(
  panel: Panel,
  value: number | undefined,
): { readonly text: string; readonly colour: string } {
  const { mappings = [], thresholds, unit = 'short' } = panel.fieldConfig.defaults
  if (value === undefined) {
    const nothing = mappings.find((one) => one.type === 'special')?.options.result
    return { text: nothing?.text ?? 'No data', colour: colourOf(nothing?.color) }
  }
  const texts = mappings.map((one) => (one.type === 'value' ? one.options[String(value)]?.text : undefined))
  const step = thresholds?.steps.findLast((one) => one.value === null || value >= one.value)
  return { text: texts.find((found) => found !== undefined) ?? formatted(value, unit), colour: colourOf(step?.color) }
}

function colourOf(name: string | undefined): string {
  return name === undefined ? GREY : (COLOURS[name] ?? name)
}

/** Grafana's "fields with values": a series that is always zero does not appear in the legend. */
export function isInLegend({ fieldConfig: { overrides } }: Panel, { points }: Line): boolean {
  return !overrides.some((override) => {
    if (override.matcher.id === 'byFrameRefID') return false
    const { reducer } = override.matcher.options
    if (reducer !== 'allIsZero') throw new Error(`cannot draw the override ${reducer}`)
    return (
      override.properties.some(({ value }) => 'legend' in value && value.legend) &&
      points.every(([, value]) => value === 0)
    )
  })
}

/** Lengths of dashes and gaps in pixels; undefined for a solid line. */
export function dashOf({ fieldConfig: { overrides } }: Panel, { refId }: Line): readonly number[] | undefined {
  for (const { matcher, properties } of overrides)
    if (matcher.id === 'byFrameRefID' && matcher.options === refId)
      for (const { value } of properties) if ('dash' in value) return value.dash
  return undefined
}

/** How to write values of about this size in one of Grafana's units: divide by `divisor`, then append `suffix`. */
export function scaleOf(value: number, unit: string): { readonly divisor: number; readonly suffix: string } {
  const size = Math.abs(value)
  if (unit.startsWith('suffix:')) return { divisor: 1, suffix: unit.slice('suffix:'.length) }
  switch (unit) {
    case 'locale':
      return { divisor: 1, suffix: '' }
    case 'short':
      return size >= 1000 ? { divisor: 1000, suffix: ' K' } : { divisor: 1, suffix: '' }
    case 'percentunit':
      return { divisor: 0.01, suffix: '%' }
    case 's':
      return size >= 1 || size === 0 ? { divisor: 1, suffix: ' s' } : { divisor: 0.001, suffix: ' ms' }
    case 'bytes': {
      const power = size < 1024 ? 0 : Math.min(3, Math.floor(Math.log(size) / Math.log(1024)))
      return { divisor: 1024 ** power, suffix: ` ${['B', 'KiB', 'MiB', 'GiB'][power]}` }
    }
    default:
      throw new Error(`cannot draw the unit ${unit}`)
  }
}

function formatted(value: number, unit: string): string {
  const { divisor, suffix } = scaleOf(value, unit)
  const number = value / divisor
  return (unit === 'locale' ? Math.round(number).toLocaleString('en') : String(Number(number.toPrecision(3)))) + suffix
}

/**
 * Draws a Grafana dashboard's panels where Grafana would put them, from what Prometheus answers to their queries. Not
 * Grafana: as much of its format as the dashboard of this project uses, and anything else in it is an error.
 */

import type { Prometheus, Series } from './prometheus.ts'

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

type Nothing = Extract<Mapping, { type: 'special' }>['options']['result']

interface Panel {
  readonly type: string
  readonly title: string
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

/** The time that is drawn, in seconds since 1970. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly step: number
}

interface Line {
  readonly name: string
  readonly refId: string
  readonly points: Series['points']
}

/** Pixels: a dashboard is 24 columns wide, and a row of its grid is so high. */
const WIDTH = 1200
const COLUMN = WIDTH / 24
const ROW = 34
const GAP = 6

const COLOURS = ['#3b7dd8', '#e08a1e', '#3a9a5b', '#c2415b', '#7b57c2', '#14919b', '#8a6d3b', '#6b7280']
const THRESHOLDS: Readonly<Record<string, string>> = { green: '#2f8f56', orange: '#d97706', red: '#c62f3b' }

/** A whole page of HTML. */
export async function dashboardPage(dashboard: Dashboard, prometheus: Prometheus, span: Span): Promise<string> {
  const panels = await Promise.all(
    dashboard.panels.map(async (panel) => {
      const { x, y, w, h } = panel.gridPos
      const [width, height] = [w * COLUMN - GAP, h * ROW - GAP]
      const place = `left:${x * COLUMN}px;top:${y * ROW}px;width:${width}px;height:${height}px`
      const drawn = draw(panel, await linesOf(panel, prometheus, span), span, width - 22, height - 42)
      return `<section style="${place}"><h2>${text(panel.title)}</h2>${drawn}</section>`
    }),
  )
  const bottom = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => (y + h) * ROW))
  return `<!doctype html><meta charset="utf-8"><title>${text(dashboard.title)}</title><style>${STYLE}</style>
<main style="width:${WIDTH - GAP}px;height:${bottom - GAP}px">${panels.join('\n')}</main>`
}

async function linesOf({ targets }: Panel, prometheus: Prometheus, span: Span): Promise<Line[]> {
  // As Grafana reckons it: four scrapes, here one a second.
  const lines = await Promise.all(
    targets.map(async ({ refId, expr, legendFormat, instant }) => {
      const filled = expr.replaceAll('$namespace', '.*').replaceAll('$job', 'xtrimd')
      const query = filled.replaceAll('$__rate_interval', '4s')
      const series = await (instant
        ? prometheus.query(query, span.to)
        : prometheus.queryRange(query, span.from, span.to, span.step))
      return series.map(({ labels, points }) => ({
        refId,
        name: legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? ''),
        points: points.filter(([, value]) => Number.isFinite(value)),
      }))
    }),
  )
  return lines.flat()
}

function draw(panel: Panel, lines: readonly Line[], span: Span, width: number, height: number): string {
  switch (panel.type) {
    case 'stat':
      return stat(panel, lines)
    case 'bargauge':
      return barGauge(panel, lines)
    case 'state-timeline':
      return stateTimeline(panel, lines, span)
    case 'timeseries':
      return timeSeries(panel, lines, span, width, height)
    default:
      throw new Error(`${panel.title}: no picture of a ${panel.type}`)
  }
}

function stat({ fieldConfig: { defaults } }: Panel, [line]: readonly Line[]): string {
  const value = last(line)
  const nothing = defaults.mappings?.find(({ type }) => type === 'special')?.options.result as Nothing | undefined
  const [told, colour] =
    value === undefined
      ? [nothing?.text ?? 'No data', THRESHOLDS[nothing?.color ?? ''] ?? nothing?.color ?? thresholdColour(defaults, 0)]
      : [mapped(defaults, value), thresholdColour(defaults, value)]
  return `<p class="stat" style="background:${colour}">${text(told)}</p>`
}

function barGauge({ fieldConfig: { defaults } }: Panel, lines: readonly Line[]): string {
  const values = lines.map(({ name, points }) => ({ name, value: points.at(-1)?.[1] ?? 0 }))
  const most = Math.max(...values.map(({ value }) => value))
  const rows = values.map(({ name, value }) => {
    const colour = thresholdColour(defaults, value)
    const bar = `<i style="width:${((value / most) * 100).toFixed(1)}%;background:${colour}"></i>`
    return `<li><span>${text(name)}</span><b>${bar}</b><em style="color:${colour}">${mapped(defaults, value)}</em></li>`
  })
  return `<ul>${rows.join('')}</ul>`
}

function mapped({ mappings = [], unit }: Panel['fieldConfig']['defaults'], value: number): string {
  const texts = mappings.map((one) => (one.type === 'value' ? one.options[String(value)]?.text : undefined))
  return texts.find((found) => found !== undefined) ?? formatted(value, unit ?? 'short')
}

function stateTimeline({ fieldConfig: { defaults } }: Panel, lines: readonly Line[], span: Span): string {
  const rows = lines.map(({ name, points }) => {
    const states: { value: number; seconds: number }[] = []
    for (const [, value] of points) {
      const state = states.at(-1)
      if (state?.value === value) state.seconds += span.step
      else states.push({ value, seconds: span.step })
    }
    const bars = states.map(
      ({ value, seconds }) =>
        `<i style="flex:${seconds};background:${thresholdColour(defaults, value)}">${text(mapped(defaults, value))}</i>`,
    )
    return `<li><span>${text(name)}</span><b>${bars.join('')}</b></li>`
  })
  return `<ul class="states">${rows.join('')}</ul>`
}

const LEGEND = 18
const AXIS = 58
const TIMES = 18

function timeSeries(panel: Panel, lines: readonly Line[], span: Span, width: number, height: number): string {
  const { unit = 'short', min, max, custom } = panel.fieldConfig.defaults
  const isBars = custom?.drawStyle === 'bars'
  const told = lines.map((line, i) => ({ ...line, colour: COLOURS[i % COLOURS.length] as string }))
  const shown = told.filter((line) => !isHiddenInLegend(panel, line))
  const legend = shown.map((line) => {
    const kind = dashOf(panel, line) === null ? '' : ' class="dashed"'
    return `<span><i${kind} style="color:${line.colour}"></i>${text(line.name)}</span>`
  })
  const perRow = Math.max(1, Math.floor(width / (7 * Math.max(1, ...shown.map(({ name }) => name.length)) + 26)))
  const high = height - LEGEND * Math.max(1, Math.ceil(shown.length / perRow)) - TIMES
  const sums = new Map<number, number>()
  for (const [at, value] of lines.flatMap(({ points }) => points)) sums.set(at, (sums.get(at) ?? 0) + value)
  const values = isBars ? [...sums.values()] : lines.flatMap(({ points }) => points.map(([, value]) => value))
  const top = max ?? roundAbove(Math.max(0, ...values) || 1, unit)
  const bottom = min ?? Math.min(0, ...values)
  const x = (at: number): number => AXIS + ((at - span.from) / (span.to - span.from)) * (width - AXIS)
  const y = (value: number): number => high - ((value - bottom) / (top - bottom)) * (high - 8)
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const value = bottom + share * (top - bottom)
    const at = y(value).toFixed(1)
    return `<line x1="${AXIS}" x2="${width}" y1="${at}" y2="${at}"/><text x="${AXIS - 6}" y="${at}" dy="4" text-anchor="end">${formatted(value, unit)}</text>`
  })
  const ticks = Array.from({ length: Math.floor((span.to - span.from - 5) / 20) }, (_, i) => (i + 1) * 20).map(
    (seconds) =>
      `<text x="${x(span.from + seconds).toFixed(1)}" y="${high + 15}" text-anchor="middle">${seconds} s</text>`,
  )
  const piled = new Map<number, number>()
  const marks = told.map((line) => {
    const { points, colour } = line
    if (!isBars) {
      const d = path(points, span.step, custom?.lineInterpolation === 'stepAfter', x, y)
      return `<path d="${d}" stroke="${colour}" stroke-dasharray="${dashOf(panel, line) ?? 'none'}"/>`
    }
    const wide = ((width - AXIS) / ((span.to - span.from) / span.step)) * 0.8
    return points
      .filter(([, value]) => value > 0)
      .map(([at, value]) => {
        const from = piled.get(at) ?? 0
        piled.set(at, from + value)
        const [upper, lower] = [y(from + value), y(from)]
        return `<rect x="${(x(at) - wide / 2).toFixed(1)}" y="${upper.toFixed(1)}" width="${wide.toFixed(1)}" height="${(lower - upper).toFixed(1)}" fill="${colour}"/>`
      })
      .join('')
  })
  return `<svg width="${width}" height="${high + TIMES}">${[...grid, ...ticks, ...marks].join('')}</svg><p class="legend">${legend.join('')}</p>`
}

/** A line that is broken where there was no answer. */
function path(
  points: Series['points'],
  step: number,
  isStep: boolean,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  let before: readonly [number, number] | undefined
  const moves = points.map(([at, value]) => {
    const isApart = before === undefined || at - before[0] > step * 1.5
    const corner = isStep && before !== undefined && !isApart ? `L${x(at).toFixed(1)},${y(before[1]).toFixed(1)}` : ''
    before = [at, value]
    return `${corner}${isApart ? 'M' : 'L'}${x(at).toFixed(1)},${y(value).toFixed(1)}`
  })
  return moves.join('')
}

/** What Grafana calls "fields with values": series that are zero throughout need no line in the legend. */
function isHiddenInLegend({ fieldConfig: { overrides } }: Panel, { points }: Line): boolean {
  return overrides.some((override) => {
    if (override.matcher.id === 'byFrameRefID') return false
    if (override.matcher.options.reducer !== 'allIsZero') throw new Error(`no picture of ${override.matcher.id}`)
    return (
      override.properties.some(({ value }) => 'legend' in value && value.legend) &&
      points.every(([, value]) => value === 0)
    )
  })
}

/** How the lines of a query are dashed; null for those that are not. */
function dashOf({ fieldConfig: { overrides } }: Panel, { refId }: Line): string | null {
  for (const { matcher, properties } of overrides)
    if (matcher.id === 'byFrameRefID' && matcher.options === refId)
      for (const { value } of properties) if ('dash' in value) return value.dash.join(' ')
  return null
}

function thresholdColour({ thresholds }: Panel['fieldConfig']['defaults'], value: number): string {
  const step = thresholds?.steps.findLast((one) => one.value === null || value >= one.value)
  return THRESHOLDS[step?.color ?? ''] ?? step?.color ?? '#6b7280'
}

function last(line: Line | undefined): number | undefined {
  return line?.points.at(-1)?.[1]
}

/** The next 1, 2, 2.5 or 5 with zeros, in powers of 1024 where the unit counts so. */
function roundAbove(value: number, unit: string): number {
  const base = unit === 'bytes' ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 1
  const power = 10 ** Math.floor(Math.log10(value / base))
  return base * power * ([1, 2, 2.5, 4, 5, 8].find((factor) => factor * power * base >= value) ?? 10)
}

/** A value in one of Grafana's units. */
function formatted(value: number, unit: string): string {
  const short = (number: number): string => String(Number(number.toPrecision(3)))
  if (unit.startsWith('suffix:')) return short(value) + unit.slice('suffix:'.length)
  switch (unit) {
    case 'short':
      return Math.abs(value) >= 1000 ? `${short(value / 1000)} K` : short(value)
    case 'locale':
      return Math.round(value).toLocaleString('en')
    case 'percentunit':
      return `${short(value * 100)}%`
    case 's':
      return Math.abs(value) >= 1 || value === 0 ? `${short(value)} s` : `${short(value * 1000)} ms`
    case 'bytes': {
      const power = value === 0 ? 0 : Math.floor(Math.log(value) / Math.log(1024))
      return `${short(value / 1024 ** power)} ${['B', 'KiB', 'MiB', 'GiB'][power]}`
    }
    default:
      throw new Error(`no picture of the unit ${unit}`)
  }
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

const STYLE = `
body { margin: 12px; background: #f1f2f5; color: #24292f; font: 13px/1.3 system-ui, sans-serif; }
main { position: relative; }
section { position: absolute; box-sizing: border-box; padding: 8px 10px; background: #fff; border: 1px solid #d9dce1; border-radius: 3px; overflow: hidden; }
h2 { margin: 0 0 6px; font-size: 13px; font-weight: 600; }
p { margin: 0; }
.stat { position: absolute; inset: 30px 0 0; display: flex; align-items: center; justify-content: center; color: #fff; font-size: 30px; font-weight: 600; }
svg { display: block; } svg line { stroke: #e6e8ec; } svg text { font-size: 11px; fill: #5b6470; } svg path { fill: none; stroke-width: 1.8; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 12px; line-height: ${LEGEND}px; }
.legend i { display: inline-block; width: 12px; margin: 0 5px 3px 0; border-top: 4px solid; border-radius: 2px; } .legend i.dashed { border-top-style: dotted; }
ul { list-style: none; margin: 0; padding: 0; } li { display: flex; align-items: center; gap: 10px; height: 24px; }
li span { flex: 0 0 345px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 12px; }
li b { flex: 1; height: 15px; background: #eceef1; } li i { display: block; height: 100%; }
li em { flex: 0 0 48px; text-align: right; font-style: normal; font-weight: 600; }
.states li { height: 46px; } .states li span { flex-basis: 140px; } .states b { display: flex; height: 36px; }
.states i { height: 100%; padding: 0 6px; color: #fff; font-style: normal; line-height: 36px; font-weight: 400; }`

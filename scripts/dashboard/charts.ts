/** The charts of a dashboard's panels, as ECharts options. */

import { type ChartOption, textWidth } from '../stage/svg_chart.ts'
import { dashOf, isInLegend, type Line, type Panel, type Span, scaleOf, shownValue } from './panel.ts'

/** Grafana's classic palette has other shades; these are readable on white. */
const PALETTE = ['#3b7dd8', '#e08a1e', '#3a9a5b', '#c2415b', '#7b57c2', '#14919b', '#8a6d3b', '#6b7280']
const GRID = '#e6e8ec'
const TEXT = '#24292f'
const FAINT = '#5b6470'
const UNFILLED = '#eceef1'

/** Pixels. */
/** ECharts uses the gap between rows too. */
const LEGEND_ROW = 24
const LEGEND_FONT = 12
const LEGEND_GAP = 12
const AXIS = 58

export function barGauge(panel: Panel, lines: readonly Line[]): ChartOption {
  const bars = lines.map(({ points }) => {
    const value = points.at(-1)?.[1] ?? 0
    const { text, colour } = shownValue(panel, value)
    return { value, itemStyle: { color: colour }, label: { formatter: text, color: colour } }
  })
  return {
    ...namedRows(lines, { left: 355, right: 58, labelWidth: 345 }),
    xAxis: { type: 'value', show: false, max: 'dataMax' },
    series: [
      {
        type: 'bar',
        barWidth: 15,
        showBackground: true,
        backgroundStyle: { color: UNFILLED },
        // On the unfilled part, beside the longest bar.
        label: { show: true, position: 'right', fontSize: 13, fontWeight: 600 },
        data: bars,
      },
    ],
  }
}

/** Each row is a stack of its states, one after the other. */
export function stateTimeline(panel: Panel, lines: readonly Line[], { step }: Span): ChartOption {
  const rows = lines.map(({ points }) => {
    const states: { value: number; seconds: number }[] = []
    for (const [, value] of points) {
      const state = states.at(-1)
      if (state?.value === value) state.seconds += step
      else states.push({ value, seconds: step })
    }
    return states
  })
  const most = Math.max(0, ...rows.map((states) => states.length))
  return {
    ...namedRows(lines, { left: 160, right: 2, labelWidth: 155 }),
    xAxis: { type: 'value', show: false, max: 'dataMax' },
    series: Array.from({ length: most }, (_, i) => ({
      type: 'bar',
      stack: 'states',
      barWidth: 36,
      label: { show: true, position: 'insideLeft', color: '#fff', fontSize: 13 },
      data: rows.map((states) => {
        const state = states[i]
        if (state === undefined) return '-'
        const { text, colour } = shownValue(panel, state.value)
        return { value: state.seconds, itemStyle: { color: colour }, label: { formatter: text } }
      }),
    })),
  }
}

function namedRows(
  lines: readonly Line[],
  { left, right, labelWidth }: { readonly left: number; readonly right: number; readonly labelWidth: number },
): Pick<ChartOption, 'grid' | 'yAxis'> {
  return {
    grid: { left, right, top: 0, bottom: 0, outerBoundsMode: 'none' },
    yAxis: {
      type: 'category',
      inverse: true,
      data: lines.map(({ name }) => name),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { interval: 0, color: TEXT, align: 'left', margin: left, width: labelWidth, overflow: 'truncate' },
    },
  }
}

/** `width` is in pixels: it decides how many rows the legend needs. */
export function timeSeries(panel: Panel, lines: readonly Line[], span: Span, width: number): ChartOption {
  const { unit = 'short', min, max, custom } = panel.fieldConfig.defaults
  const isBars = custom?.drawStyle === 'bars'
  const { divisor, suffix } = scaleOf(max ?? highest(lines, isBars), unit)
  const inLegend = lines.filter((line) => isInLegend(panel, line)).map(({ name }) => name)
  const legendHeight = LEGEND_ROW * rowsOf(inLegend, width)
  return {
    color: PALETTE,
    legend: {
      data: inLegend,
      left: 0,
      bottom: 3,
      padding: 0,
      icon: 'roundRect',
      itemWidth: 12,
      itemHeight: 4,
      itemGap: LEGEND_GAP,
      textStyle: { color: TEXT, fontSize: LEGEND_FONT },
    },
    grid: { left: AXIS, right: 2, top: 8, bottom: legendHeight + 20 },
    xAxis: {
      type: 'value',
      min: 0,
      max: span.to - span.from,
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: FAINT, fontSize: 11, showMinLabel: false, showMaxLabel: false, formatter: '{value} s' },
    },
    yAxis: {
      type: 'value',
      ...(min === undefined ? {} : { min: min / divisor }),
      ...(max === undefined ? {} : { max: max / divisor }),
      splitNumber: 4,
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: GRID } },
      axisLabel: {
        color: FAINT,
        fontSize: 11,
        formatter: (value: number) => (value === 0 ? '0' : `${Number(value.toPrecision(3))}${suffix}`),
      },
    },
    series: lines.map((line) => {
      const at = (seconds: number): number => seconds - span.from
      if (isBars) {
        const barWidth = ((width - AXIS) / ((span.to - span.from) / span.step)) * 0.8
        const data = line.points.map(([seconds, value]) => [at(seconds), value / divisor])
        return { type: 'bar', name: line.name, stack: 'all', barWidth, data, clip: true }
      }
      return {
        type: 'line',
        name: line.name,
        showSymbol: false,
        // Grafana's stepAfter: a value holds until the next one.
        step: custom?.lineInterpolation === 'stepAfter' ? 'end' : false,
        lineStyle: { width: 1.8, type: dashOf(panel, line)?.slice() ?? 'solid' },
        data: withGaps(line.points, span.step).map(([seconds, value]) => [
          at(seconds),
          value === null ? null : value / divisor,
        ]),
      }
    }),
  }
}

/** How many rows ECharts needs for a legend of these names. */
function rowsOf(names: readonly string[], width: number): number {
  let rows = 1
  let used = 0
  for (const name of names) {
    // The symbol, the space behind it, the name and the gap.
    const needed = 17 + textWidth(name, LEGEND_FONT) + LEGEND_GAP
    if (used > 0 && used + needed > width) {
      rows++
      used = 0
    }
    used += needed
  }
  return rows
}

/** The highest line, or the highest pile of bars. */
function highest(lines: readonly Line[], isPiled: boolean): number {
  const points = lines.flatMap((line) => line.points)
  if (!isPiled) return Math.max(0, ...points.map(([, value]) => value))
  const sums = new Map<number, number>()
  for (const [seconds, value] of points) sums.set(seconds, (sums.get(seconds) ?? 0) + value)
  return Math.max(0, ...sums.values())
}

/** A null where Prometheus had no answer breaks the line there. */
function withGaps(points: Line['points'], step: number): [seconds: number, value: number | null][] {
  return points.flatMap(([seconds, value], i): [number, number | null][] => {
    const before = points[i - 1]?.[0]
    const isApart = before !== undefined && seconds - before > step * 1.5
    return isApart
      ? [
          [before + step, null],
          [seconds, value],
        ]
      : [[seconds, value]]
  })
}

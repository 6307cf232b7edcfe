/** Horizontal bars as an SVG file that is readable on a light and on a dark page. */

import { type ChartOption, svgChart } from '../scripts/stage/svg_chart.ts'

export interface Row {
  readonly label: string
  /** One for each series; null where there is nothing to show. */
  readonly values: readonly (number | null)[]
  /** Rows of xtrimd have their own colour. */
  readonly ours?: boolean
}

export interface Chart {
  readonly title: string
  /** What the length of a bar means. */
  readonly unit: string
  readonly series: readonly string[]
  readonly rows: readonly Row[]
  readonly format: (value: number) => string
}

/** Each colour on a light page, and the one that replaces it on a dark page. */
const TEXT = ['#1f2328', '#e6edf3'] as const
const FAINT = ['#59636e', '#9198a1'] as const
const OURS = ['#0969da', '#4493f8'] as const
const THEIRS = ['#8c959f', '#656c76'] as const

/** Pixels. */
const WIDTH = 760
const BARS_FROM = 270
const BAR = 12
const GAP = 14
const TOP = 68
const BOTTOM = 6

export function barChart(chart: Chart): string {
  const height = TOP + chart.rows.length * (chart.series.length * (BAR + 2) + GAP) + BOTTOM
  const svg = svgChart(optionOf(chart), { width: WIDTH, height })
  // A style sheet overrides the colours that ECharts writes as attributes.
  const dark = [TEXT, FAINT, OURS, THEIRS].map(([light, instead]) => `[fill="${light}"]{fill:${instead}}`)
  const style = `<style>@media (prefers-color-scheme: dark){${dark.join('')}}</style>`
  return `${svg.replace('>\n', ` role="img">\n<title>${escaped(chart.title)}</title>\n${style}\n`)}\n`
}

function optionOf({ title, unit, series, rows, format }: Chart): ChartOption {
  return {
    title: {
      text: title,
      subtext: unit,
      left: 10,
      top: 8,
      textStyle: { fontSize: 16, fontWeight: 600, color: TEXT[0] },
      subtextStyle: { fontSize: 11, color: FAINT[0] },
    },
    legend: {
      show: series.length > 1,
      right: 16,
      top: 32,
      itemWidth: 10,
      itemHeight: 10,
      itemGap: 24,
      selectedMode: false,
      textStyle: { fontSize: 11, color: FAINT[0] },
    },
    grid: { left: BARS_FROM, right: 70, top: TOP, bottom: BOTTOM, outerBoundsMode: 'none' },
    xAxis: { type: 'value', show: false, max: 'dataMax' },
    yAxis: {
      type: 'category',
      inverse: true,
      data: rows.map(({ label, ours }) => ({ value: label, textStyle: { fontWeight: ours ? 600 : 400 } })),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { interval: 0, fontSize: 13, color: TEXT[0] },
    },
    series: series.map((name, s) => ({
      type: 'bar',
      name,
      silent: true,
      barWidth: BAR,
      barGap: '17%',
      barMinHeight: 1,
      // The legend shows the colour of the series.
      itemStyle: { borderRadius: 2, color: THEIRS[0], opacity: s > 0 ? 0.55 : 1 },
      label: {
        show: true,
        position: 'right',
        fontSize: 11,
        color: FAINT[0],
        opacity: 1,
        formatter: ({ value }) => (typeof value === 'number' ? format(value) : ''),
      },
      data: rows.map(({ values, ours }) => ({
        value: values[s] ?? '-',
        itemStyle: { color: ours ? OURS[0] : THEIRS[0] },
      })),
    })),
  }
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

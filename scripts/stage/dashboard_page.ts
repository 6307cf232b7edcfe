/** A Grafana dashboard drawn without Grafana: its own panels, layout, queries and units, in plain SVG. */

import { readFileSync } from 'node:fs'
import type { Prometheus, Series } from '../../test/harness/prometheus.ts'

interface Step {
  readonly color: string
  readonly value: number | null
}

interface Panel {
  readonly type: 'stat' | 'timeseries' | 'bargauge'
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string
      readonly noValue?: string
      readonly thresholds?: { readonly steps: readonly Step[] }
      readonly custom?: { readonly drawStyle: 'line' | 'bars' }
    }
  }
}

const CELL = { width: 48, height: 34 }
const COLOURS = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#f2495c', '#5794f2', '#b877d9', '#705da0']
const NAMED: Readonly<Record<string, string>> = { green: '#3f833f', orange: '#c4671c', red: '#b52a3b' }
const SPAN_S = 110

/** A page with every panel, as the last two minutes were. */
export async function dashboardPage(prometheus: Prometheus): Promise<string> {
  const file = new URL('../../k8s/monitoring/dashboard.json', import.meta.url)
  const { panels } = JSON.parse(readFileSync(file, 'utf8')) as { panels: readonly Panel[] }
  const drawn = await Promise.all(panels.map((panel) => drawPanel(panel, prometheus)))
  const height = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h)) * CELL.height
  return `<style>${STYLE}</style><main style="height:${height}px">${drawn.join('')}</main>`
}

async function drawPanel(panel: Panel, prometheus: Prometheus): Promise<string> {
  const { x, y, w, h } = panel.gridPos
  const series: (Series & { readonly name: string })[] = []
  for (const { expr, legendFormat } of panel.targets) {
    const query = expr.replaceAll('$job', 'xtrimd').replaceAll('$__rate_interval', '10s')
    for (const one of await prometheus.queryRange(query, SPAN_S)) {
      const name = legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label: string) => one.labels[label] ?? '')
      series.push({ ...one, name })
    }
  }
  const place = `left:${x * CELL.width}px;top:${y * CELL.height}px;width:${w * CELL.width - 8}px;height:${h * CELL.height - 8}px`
  const size = { width: w * CELL.width - 24, height: h * CELL.height - 40 }
  const { unit, noValue = '', thresholds } = panel.fieldConfig.defaults
  const last = ({ values }: Series): number => values.at(-1)?.[1] ?? Number.NaN
  const colourOf = (value: number): string => {
    const step = thresholds?.steps.findLast(({ value: from }) => from === null || value >= from)
    return NAMED[step?.color ?? 'green'] ?? '#3f833f'
  }
  if (panel.type === 'stat') {
    const value = series[0] === undefined ? null : last(series[0])
    const background = value === null ? '#22252b' : colourOf(value)
    return `<section class="stat" style="${place};background:${background}"><h2>${escaped(panel.title)}</h2><p>${value === null ? noValue : formatted(value, unit)}</p></section>`
  }
  const body =
    panel.type === 'bargauge'
      ? drawBars(series, (one) => [last(one), colourOf(last(one))], unit)
      : drawLines(series, panel.fieldConfig.defaults.custom?.drawStyle ?? 'line', unit, size)
  return `<section style="${place}"><h2>${escaped(panel.title)}</h2>${body}</section>`
}

function drawBars(
  series: readonly (Series & { readonly name: string })[],
  of: (one: Series) => [number, string],
  unit: string,
): string {
  const most = Math.max(1, ...series.map((one) => of(one)[0]))
  const rows = series
    .toSorted((a, b) => of(b)[0] - of(a)[0])
    .map((one) => {
      const [value, colour] = of(one)
      return `<tr><td>${escaped(one.name)}</td><td class="bar"><i style="width:${(100 * value) / most}%;background:${colour}"></i></td><td style="color:${colour}">${formatted(value, unit)}</td></tr>`
    })
  return `<table>${rows.join('')}</table>`
}

function drawLines(
  series: readonly (Series & { readonly name: string })[],
  style: 'line' | 'bars',
  unit: string,
  { width, height }: { readonly width: number; readonly height: number },
): string {
  const told = series.filter(({ values }) => values.length > 0).slice(0, COLOURS.length)
  const legendHeight = 18
  const [left, bottom] = [52, height - legendHeight - 4]
  const times = told.flatMap(({ values }) => values.map(([time]) => time))
  const [from, to] = [Math.min(...times), Math.max(...times)]
  const most =
    Math.max(1e-9, ...told.flatMap(({ values }) => values.map(([, value]) => (Number.isFinite(value) ? value : 0)))) *
    1.1
  const x = (time: number): number => left + ((time - from) / Math.max(1, to - from)) * (width - left - 4)
  const y = (value: number): number => bottom - (Math.max(0, value) / most) * (bottom - 6)
  const grid = (most > 0.01 ? [0, 0.5, 1] : [0]).map((share) => {
    const value = (most / 1.1) * share
    return `<line x1="${left}" x2="${width}" y1="${y(value)}" y2="${y(value)}" class="grid"/><text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${formatted(value, unit)}</text>`
  })
  const shapes = told.map(({ values }, i) => {
    const finite = values.filter(([, value]) => Number.isFinite(value))
    if (style === 'bars')
      return finite
        .filter(([, value]) => value > 0)
        .map(
          ([time, value]) =>
            `<rect x="${x(time) - 2}" width="4" y="${y(value)}" height="${bottom - y(value)}" fill="${COLOURS[i]}" opacity=".8"/>`,
        )
        .join('')
    return `<polyline points="${finite.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(' ')}" stroke="${COLOURS[i]}"/>`
  })
  const legend = told.map(({ name }, i) => `<span><b style="background:${COLOURS[i]}"></b>${escaped(name)}</span>`)
  return `<svg width="${width}" height="${height - legendHeight}">${grid.join('')}${shapes.join('')}</svg><footer>${legend.join('')}</footer>`
}

function formatted(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–'
  if (unit === 'bytes')
    return value >= 2 ** 20 ? `${(value / 2 ** 20).toFixed(0)} MiB` : `${Math.round(value / 1024)} KiB`
  if (unit === 'percentunit') return `${(value * 100).toFixed(value < 0.1 && value > 0 ? 1 : 0)} %`
  if (unit === 's') return value < 1 && value > 0 ? `${Math.round(value * 1_000)} ms` : `${Math.round(value)} s`
  if (value >= 1_000) return `${(value / 1_000).toFixed(value >= 10_000 ? 1 : 2)} K`
  return value.toFixed(Number.isInteger(value) || value >= 10 ? 0 : 1)
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

const STYLE = `
body { margin: 0; background: #111217; color: #ccccdc; font: 12px system-ui, sans-serif; }
main { position: relative; width: 1152px; margin: 12px 20px; }
section { position: absolute; background: #181b1f; border: 1px solid #2c3035; border-radius: 3px; padding: 6px 8px; box-sizing: border-box; overflow: hidden; }
h2 { margin: 0 0 6px; font-size: 13px; font-weight: 500; }
.stat p { margin: 14px 0 0; font-size: 34px; text-align: center; color: #fff; white-space: nowrap; }
.stat { color: #fff; }
.grid { stroke: #2c3035; } svg text { fill: #9fa7b3; font-size: 11px; } polyline { fill: none; stroke-width: 2; }
footer { display: flex; gap: 12px; overflow: hidden; white-space: nowrap; } footer b { display: inline-block; width: 12px; height: 4px; margin: 0 5px 2px 0; border-radius: 2px; }
table { width: 100%; border-collapse: collapse; } td { padding: 3px 6px; white-space: nowrap; } td:last-child { text-align: right; font-weight: 600; }
.bar { width: 45%; } .bar i { display: block; height: 14px; border-radius: 2px; }`

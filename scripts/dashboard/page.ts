/**
 * Draws a Grafana dashboard without Grafana: its panels at their places, filled with what Prometheus answers to their
 * queries.
 */

import type { Prometheus } from '../stage/prometheus.ts'
import { svgChart } from '../stage/svg_chart.ts'
import { barGauge, stateTimeline, timeSeries } from './charts.ts'
import { type Dashboard, type Line, type Panel, type Span, shownValue } from './panel.ts'

/** Pixels. Grafana's grid has 24 columns. */
const WIDTH = 1200
const COLUMN = WIDTH / 24
const ROW = 34
const GAP = 6

/** A whole page of HTML. @throws where a panel needs a feature of Grafana that is not supported here */
export async function dashboardPage(dashboard: Dashboard, prometheus: Prometheus, span: Span): Promise<string> {
  const panels = await Promise.all(
    dashboard.panels.map(async (panel) => {
      const { x, y, w, h } = panel.gridPos
      const [width, height] = [w * COLUMN - GAP, h * ROW - GAP]
      const place = `left:${x * COLUMN}px;top:${y * ROW}px;width:${width}px;height:${height}px`
      const lines = await linesOf(panel, prometheus, span)
      const content = draw(panel, lines, span, { width: width - 22, height: height - 42 })
      return `<section style="${place}"><h2>${escaped(panel.title)}</h2>${content}</section>`
    }),
  )
  const bottom = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => (y + h) * ROW))
  return `<!doctype html><meta charset="utf-8"><title>${escaped(dashboard.title)}</title><style>${STYLE}</style>
<main style="width:${WIDTH - GAP}px;height:${bottom - GAP}px">${panels.join('\n')}</main>`
}

async function linesOf({ targets }: Panel, prometheus: Prometheus, span: Span): Promise<Line[]> {
  const lines = await Promise.all(
    targets.map(async ({ refId, expr, legendFormat, instant }) => {
      // Grafana's rate interval spans four scrapes; here Prometheus scrapes once a second.
      const query = expr
        .replaceAll('$namespace', '.*')
        .replaceAll('$job', 'xtrimd')
        .replaceAll('$__rate_interval', '4s')
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

function draw(
  panel: Panel,
  lines: readonly Line[],
  span: Span,
  size: { readonly width: number; readonly height: number },
): string {
  switch (panel.type) {
    case 'stat': {
      const { text, colour } = shownValue(panel, lines[0]?.points.at(-1)?.[1])
      return `<p class="stat" style="background:${colour}">${escaped(text)}</p>`
    }
    case 'bargauge':
      return svgChart(barGauge(panel, lines), size)
    case 'state-timeline':
      return svgChart(stateTimeline(panel, lines, span), size)
    case 'timeseries':
      return svgChart(timeSeries(panel, lines, span, size.width), size)
    default:
      throw new Error(`${panel.title}: cannot draw a ${panel.type}`)
  }
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

const STYLE = `
body { margin: 12px; background: #f1f2f5; color: #24292f; font: 13px/1.3 system-ui, sans-serif; }
main { position: relative; }
section { position: absolute; box-sizing: border-box; padding: 8px 10px; background: #fff; border: 1px solid #d9dce1; border-radius: 3px; overflow: hidden; }
h2 { margin: 0 0 6px; font-size: 13px; font-weight: 600; }
.stat { position: absolute; inset: 30px 0 0; margin: 0; display: flex; align-items: center; justify-content: center; color: #fff; font-size: 30px; font-weight: 600; }
svg { display: block; }`

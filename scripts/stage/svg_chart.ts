/** Charts as SVG text, drawn by ECharts without a browser. */

import { BarChart, type BarSeriesOption, LineChart, type LineSeriesOption } from 'echarts/charts'
import {
  GridComponent,
  type GridComponentOption,
  LegendComponent,
  type LegendComponentOption,
  TitleComponent,
  type TitleComponentOption,
} from 'echarts/components'
import { type ComposeOption, init, setPlatformAPI, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

export type ChartOption = ComposeOption<
  BarSeriesOption | LineSeriesOption | GridComponentOption | LegendComponentOption | TitleComponentOption
>

use([BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer])

// Without a browser ECharts assumes a narrower font than Debian's default, DejaVu Sans, so names would overlap.
setPlatformAPI({
  measureText: (text, font) => ({ width: textWidth(text, Number(/([\d.]+)px/.exec(font ?? '')?.[1] ?? 12)) }),
})

/** About how wide this is in DejaVu Sans. ECharts takes the width of a Chinese character, one em, as the line height. */
export function textWidth(text: string, fontSize: number): number {
  const ems = Array.from(text, (character) => {
    if (character >= '\u2e80') return 1
    return /[A-Z]/.test(character) ? 0.72 : 0.56
  })
  return fontSize * ems.reduce((sum, width) => sum + width, 0)
}

/** Width and height are in pixels. */
export function svgChart(option: ChartOption, size: { readonly width: number; readonly height: number }): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size })
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'system-ui, sans-serif' }, ...option })
    return withoutInteraction(chart.renderToSVGString())
  } finally {
    chart.dispose()
  }
}

/** A picture needs neither the styles for a pointer over it nor the references to data. */
function withoutInteraction(svg: string): string {
  return svg
    .replace(/<style ><!\[CDATA\[.*?\]\]>\s*<\/style>\n/s, '')
    .replaceAll(/ (?:class="zr[^"]*"|ecmeta_\w+="[^"]*")/g, '')
}

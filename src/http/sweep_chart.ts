/** The last sweeps as a small picture: entries removed as bars, duration as a line. */
import { formatDuration } from '../text/quantities.ts'
import type { PastSweep } from './status.ts'

const WIDTH = 800
const HEIGHT = 120
const SLOTS = 100

/** An SVG whose figures are in its title and description too; its colours are the page's. */
export function sweepChart(sweeps: readonly PastSweep[]): string {
  const mostRemoved = Math.max(1, ...sweeps.map(({ removed }) => removed))
  const longestMs = Math.max(1, ...sweeps.map(({ durationMs }) => durationMs))
  const slot = WIDTH / SLOTS
  const x = (i: number): number => (SLOTS - sweeps.length + i) * slot
  const bars = sweeps.map(({ removed, result, endedAtMs, durationMs }, i) => {
    const height = Math.max(1, (removed / mostRemoved) * (HEIGHT - 10))
    const told = `${new Date(endedAtMs).toISOString().slice(0, 19)}Z: ${result}, ${removed} removed in ${(durationMs / 1000).toFixed(2)} s`
    return `<rect class="${result}" x="${x(i) + 1}" y="${(HEIGHT - height).toFixed(1)}" width="${slot - 2}" height="${height.toFixed(1)}"><title>${told}</title></rect>`
  })
  const points = sweeps.map(
    ({ durationMs }, i) => `${x(i) + slot / 2},${(HEIGHT - (durationMs / longestMs) * (HEIGHT - 10)).toFixed(1)}`,
  )
  const unsuccessful = sweeps.filter(({ result }) => result !== 'success').length
  const ended = unsuccessful === 0 ? 'all of them a success' : `${unsuccessful} of them no success`
  const summary = `${sweeps.length === 1 ? 'One sweep' : `The last ${sweeps.length} sweeps`}, ${ended}: at most ${most(mostRemoved)} removed and ${duration(longestMs)} taken by one.`
  return `<figure>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="chart-told">
${bars.join('\n')}
<polyline points="${points.join(' ')}"/>
</svg>
<figcaption id="chart-told">${summary} Bars: entries removed. Line: duration.</figcaption>
</figure>`
}

function most(entries: number): string {
  return entries === 1 ? 'one entry' : `${entries.toLocaleString('en')} entries`
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : formatDuration(Math.round(ms / 1000) * 1000)
}

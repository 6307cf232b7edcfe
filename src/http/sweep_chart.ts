/** The last sweeps as a small picture: entries removed as bars, duration as a line. */
import { formatDuration } from '../text/quantities.ts'
import { PAST_SWEEPS, type PastSweep } from './status.ts'

const WIDTH = 800
const HEIGHT = 120

/** An SVG whose figures are in its title and description too; its colours are the page's. */
export function sweepChart(sweeps: readonly PastSweep[]): string {
  const mostRemoved = Math.max(0, ...sweeps.map(({ removed }) => removed))
  const longestMs = Math.max(0, ...sweeps.map(({ durationMs }) => durationMs))
  const slot = WIDTH / PAST_SWEEPS
  const x = (i: number): number => (PAST_SWEEPS - sweeps.length + i) * slot
  const bars = sweeps.map(({ removed, result, endedAtMs, durationMs }, i) => {
    const height = Math.max(1, (removed / Math.max(1, mostRemoved)) * (HEIGHT - 10))
    const told = `${new Date(endedAtMs).toISOString().slice(0, 19)}Z: ${result}, ${removed.toLocaleString('en')} removed in ${elapsed(durationMs)}`
    return `<rect class="${result}" x="${x(i) + 1}" y="${(HEIGHT - height).toFixed(1)}" width="${slot - 2}" height="${height.toFixed(1)}"><title>${told}</title></rect>`
  })
  const points = sweeps.map(
    ({ durationMs }, i) =>
      `${x(i) + slot / 2},${(HEIGHT - (durationMs / Math.max(1, longestMs)) * (HEIGHT - 10)).toFixed(1)}`,
  )
  const unsuccessful = sweeps.filter(({ result }) => result !== 'success').length
  const which = sweeps.length === 1 ? 'The last sweep' : `The last ${sweeps.length} sweeps`
  const most = mostRemoved === 1 ? '1 entry' : `${mostRemoved.toLocaleString('en')} entries`
  const ended = unsuccessful === 0 ? 'all successful' : `${unsuccessful} not successful`
  const summary = `${which}: at most ${most} removed, at most ${elapsed(longestMs)}, ${ended}.`
  return `<figure>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="chart-told">
${bars.join('\n')}
<polyline points="${points.join(' ')}"/>
</svg>
<figcaption id="chart-told">${summary} Bars: entries removed. Line: duration.</figcaption>
</figure>`
}

/** How long something took: in milliseconds below a second, in seconds below ten. */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : formatDuration(Math.round(ms / 1000) * 1000)
}

/** The chart of the last sweeps: removed entries as bars, duration as a line, unsuccessful sweeps hatched. */

import { roundDuration } from '../text/quantities.ts'
import { when } from '../text/when.ts'
import { cell, count, table } from './markup.ts'
import { PAST_SWEEPS, type PastSweep } from './status.ts'

const WIDTH = 800
const HEIGHT = 120
/** Space above the highest bar. */
const HEADROOM = 10
/** Space below the bars for the times. */
const AXIS = 24
/** Least width in which the labels of the first and the last sweep do not overlap. */
const LABELS = 260

/** An SVG in the page's colours. Its figures are also in the caption and in a table. */
export function sweepChart(sweeps: readonly PastSweep[]): string {
  const mostRemoved = Math.max(0, ...sweeps.map(({ removed }) => removed))
  const longestMs = Math.max(0, ...sweeps.map(({ durationMs }) => durationMs))
  const slot = WIDTH / PAST_SWEEPS
  const x = (i: number): number => (PAST_SWEEPS - sweeps.length + i) * slot
  const y = (share: number): string => (HEIGHT - share * (HEIGHT - HEADROOM)).toFixed(1)
  const bar = (i: number, share: number, kind: string): string =>
    `<rect class="${kind}" x="${x(i) + 1}" y="${y(share)}" width="${slot - 2}" height="${(HEIGHT - Number(y(share))).toFixed(1)}"/>`
  const bars = sweeps.map(({ removed, result, endedAtMs, durationMs }, i) => {
    const title = `${when(endedAtMs)}: ${result}, ${count(removed)} removed in ${roundDuration(durationMs)}`
    // An unsuccessful sweep has usually removed nothing, and a bar of that height would be invisible. Hatch the full height.
    const failure = result === 'success' ? '' : bar(i, 1, 'failure')
    const share = Math.max(1 / HEIGHT, removed / Math.max(1, mostRemoved))
    return `<g class="sweep ${result}"><title>${title}</title>${failure}${bar(i, share, 'removed')}</g>`
  })
  const points = sweeps.map(({ durationMs }, i) => `${x(i) + slot / 2},${y(durationMs / Math.max(1, longestMs))}`)
  const unsuccessful = sweeps.filter(({ result }) => result !== 'success').length
  const which = sweeps.length === 1 ? 'The last sweep' : `The last ${sweeps.length} sweeps`
  const most = mostRemoved === 1 ? '1 entry' : `${count(mostRemoved)} entries`
  const ended = unsuccessful === 0 ? 'all successful' : `${unsuccessful} not successful`
  const summary = `${which}: at most ${most} removed, at most ${roundDuration(longestMs)}, ${ended}.`
  const legend = [
    swatch('entries removed', '<rect class="removed" width="12" height="12"/>'),
    ...(unsuccessful === 0
      ? []
      : [swatch('not successful (full height)', '<rect class="failure" width="12" height="12"/>')]),
    swatch('duration', '<line class="duration" y1="6" x2="12" y2="6"/>'),
  ]
  return `<figure>
<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT + AXIS}" role="img" aria-labelledby="chart-told">
<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="5" height="5"/><line y2="5"/></pattern></defs>
<line class="base" y1="${HEIGHT}" x2="${WIDTH}" y2="${HEIGHT}"/>
${bars.join('\n')}
<polyline class="duration" points="${points.join(' ')}"/>
${times(sweeps, x(0))}
</svg>
<figcaption><p id="chart-told">${summary}</p><ul>${legend.join('')}</ul></figcaption>
</figure>
${figures(sweeps)}`
}

function swatch(name: string, shape: string): string {
  return `<li><svg viewBox="0 0 12 12" aria-hidden="true">${shape}</svg>${name}</li>`
}

/** Labels with the end times of the first and the last sweep. */
function times(sweeps: readonly PastSweep[], firstX: number): string {
  const [first, last] = [sweeps[0]?.endedAtMs ?? 0, sweeps.at(-1)?.endedAtMs ?? 0]
  const [dateAndMinutes, minutes, seconds] = [
    [5, 16],
    [11, 16],
    [11, 19],
  ] as const
  const spanMs = last - first
  const precision = spanMs >= 24 * 3_600_000 ? dateAndMinutes : spanMs >= 3_600_000 ? minutes : seconds
  const clock = (ms: number): string =>
    new Date(ms)
      .toISOString()
      .slice(...precision)
      .replace('T', ' ')
  const y = HEIGHT + AXIS - 6
  const label = `<text x="${WIDTH}" y="${y}" text-anchor="end">${clock(last)} UTC</text>`
  return firstX > WIDTH - LABELS ? label : `<text x="${firstX}" y="${y}">${clock(first)}</text>${label}`
}

/** The same figures as a table, for those who cannot hover; latest first. */
function figures(sweeps: readonly PastSweep[]): string {
  const rows = sweeps
    .map(({ endedAtMs, result, removed, durationMs }) => [
      cell(when(endedAtMs), 'name'),
      cell(result),
      cell(removed, 'n'),
      cell(roundDuration(durationMs), 'n'),
    ])
    .reverse()
  return `<details id="figures"><summary id="figures-told">Figures for each sweep</summary>
${table(['ended', 'result', 'removed', 'took'], rows, 2)}</details>`
}

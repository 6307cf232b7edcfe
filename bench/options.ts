/** Command line options of the benchmarks, and the sizes of full and quick runs. */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const SECTIONS = [
  'comparison',
  'gentle',
  'backlog',
  'counting',
  'reaping',
  'watch',
  'archive',
  'pace',
  'memory',
] as const

export interface Options {
  readonly streams: number
  readonly rounds: number
  /** Entries of the one long stream; as many again are spread over a thousand streams. */
  readonly backlog: number
  /** Entries of the stream that one exact XTRIM cuts. */
  readonly cutEntries: number
  /** Entries that a daemon trims before its turn, so that Node has compiled its code. */
  readonly warmingEntries: number
  /** How often a daemon sweeps before its turn, for the same reason. */
  readonly warmingSweeps: number
  /** The same at a gentle pace, where Node compiles the code later. */
  readonly gentleWarmingSweeps: number
  /** How long each load lasts. */
  readonly gentleMs: number
  /** Old entries that plan counts. */
  readonly countedEntries: number
  /** Number of writes, each with and without --watch. */
  readonly watchedWrites: number
  readonly archivedEntries: number
  /** Bytes of entries that are written a second while they are archived. */
  readonly archivedPerSecond: readonly number[]
  readonly archivedSeconds: number
  readonly memoryStreams: readonly number[]
  readonly samples: { readonly shell: number; readonly awaited: number }
  readonly tenMillion: boolean
  /** A fast run whose numbers mean nothing; its sections run in parallel. */
  readonly quick: boolean
  readonly only: readonly string[]
  /** A folder, ending in a slash. */
  readonly out: string
  /** The command line as typed. */
  readonly command: string
}

export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string' },
      backlog: { type: 'string' },
      rounds: { type: 'string' },
      'memory-streams': { type: 'string' },
      only: { type: 'string' },
      out: { type: 'string', default: fileURLToPath(new URL('.', import.meta.url)) },
      quick: { type: 'boolean', default: false },
      'ten-million': { type: 'boolean', default: false },
    },
  })
  const { quick } = values
  const streams = whole(values.streams, quick ? 300 : 200_000)
  const args = process.argv.slice(2)
  return {
    streams,
    rounds: whole(values.rounds, quick ? 1 : 2),
    backlog: whole(values.backlog, quick ? 20_000 : 10_000_000),
    cutEntries: quick ? 20_000 : 2_000_000,
    warmingEntries: quick ? 3_000 : 300_000,
    warmingSweeps: quick ? 1 : 4,
    gentleWarmingSweeps: quick ? 1 : 12,
    countedEntries: quick ? 5_000 : 1_000_000,
    watchedWrites: quick ? 5_000 : 250_000,
    archivedEntries: quick ? 5_000 : 400_000,
    archivedPerSecond: quick ? [100_000, 1_000_000] : [1_000_000, 10_000_000, 100_000_000],
    archivedSeconds: quick ? 1 : 20,
    gentleMs: quick ? 300 : 1_000,
    memoryStreams: [...new Set([Math.min(10_000, streams), streams, whole(values['memory-streams'], streams)])],
    samples: quick ? { shell: 3, awaited: 50 } : { shell: 100, awaited: 2_000 },
    tenMillion: values['ten-million'],
    quick,
    only: values.only?.split(',') ?? SECTIONS,
    out: `${values.out.replace(/\/$/, '')}/`,
    command: `npm run bench${args.length > 0 ? ` -- ${args.join(' ')}` : ''}`,
  }
}

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`not a whole number: ${text}`)
  return Number(text)
}

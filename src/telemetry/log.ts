/** The one door to pino: one line per event, a constant message with fields. */
import { type LoggerOptions, pino } from 'pino'

type Line = (fields: object, message: string) => void

/** Fields first, then the constant message of the event. An error stands under `err`. */
export interface Log {
  readonly debug: Line
  readonly info: Line
  readonly warn: Line
  readonly error: Line
  readonly fatal: Line
}

/**
 * A log on file descriptor `fd`, written before the call returns: no exit loses a line. Pretty lines are for terminals.
 */
export async function makeLog(level: string, format: 'json' | 'pretty', fd: 1 | 2, colour: boolean): Promise<Log> {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: errorFields },
  }
  if (format === 'json') return pino(options, quietly(pino.destination({ fd, sync: true })))
  // Loaded only where it is used: a daemon in a pod need not carry it.
  const { default: pretty } = await import('pino-pretty')
  return pino(options, quietly(pretty({ destination: fd, sync: true, colorize: colour })))
}

/**
 * What an error is and where it came from, and nothing else it carries: Node puts the text it could not parse, such as a
 * URL with its password, beside the message. The stack holds those of its causes.
 */
function errorFields(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const { type, message, stack } = pino.stdSerializers.err(error)
  const { code } = error as NodeJS.ErrnoException
  return {
    type,
    message,
    stack,
    code,
    ...(error instanceof AggregateError && { errors: error.errors.map(errorFields) }),
  }
}

/** A reader that went away (`xtrimd run | head`) is no reason to stop trimming. */
function quietly<Stream extends { on(event: 'error', listener: () => void): unknown }>(stream: Stream): Stream {
  stream.on('error', () => {})
  return stream
}

/** The log: one line per event, with fields and a constant message. The only file that imports pino. */
import { type LoggerOptions, pino } from 'pino'

type Line = (fields: object, message: string) => void

/** Each method takes the fields first, then the constant message. An error goes into the field `err`. */
export interface Log {
  readonly debug: Line
  readonly info: Line
  readonly warn: Line
  readonly error: Line
  readonly fatal: Line
}

/** Writes to file descriptor `fd` before each call returns, so that no line is lost however the process exits. */
export async function makeLog(level: string, format: 'json' | 'pretty', fd: 1 | 2, colour: boolean): Promise<Log> {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: errorFields },
  }
  if (format === 'json') return pino(options, quietly(pino.destination({ fd, sync: true })))
  // Loaded only when needed: a daemon in a pod does without it.
  const { default: pretty } = await import('pino-pretty')
  return pino(options, quietly(pretty({ destination: fd, sync: true, colorize: colour })))
}

/**
 * The type, message, stack and code of an error, and none of its other properties: Node adds the text that it could not
 * parse, such as a URL with its password. The stack includes the stacks of its causes.
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

/** Ignores write errors: trimming must go on after the reader of the log has gone away (`xtrimd run | head`). */
function quietly<Stream extends { on(event: 'error', listener: () => void): unknown }>(stream: Stream): Stream {
  stream.on('error', () => {})
  return stream
}

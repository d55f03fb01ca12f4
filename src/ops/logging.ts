import { isatty } from 'node:tty'
import { type DestinationStream, destination, type Logger, pino, stdSerializers } from 'pino'
import type { Config } from './config-schema.ts'
import { textLine } from './log-text.ts'
import { hideSecrets } from './secrets.ts'

export type { Logger } from 'pino'

/** Field names whose values never reach a log, at the top of a line or one level below. */
const SECRET_FIELDS = [
  'password',
  'ha1',
  'ha1Md5',
  'ha1Sha256',
  'ha1Sha512256',
  'secret',
  'token',
  'authorization',
  'proxyAuthorization',
]
/** Fields that may be shown once the password inside them is hidden. */
const URL_FIELDS = ['url', 'databaseUrl']

export interface LogContext {
  readonly node: string
  /** Of a process that is one of several of a node: its number. */
  readonly worker?: number
  /** File descriptor, 1 when not given, or a stream, which tests use. */
  readonly to?: number | DestinationStream
}

/**
 * The log of one process. JSON lines are gathered and written asynchronously, so that a slow disk or pipe does
 * not hold the event loop; pino flushes them when the process exits by itself or by process.exit().
 */
export function createLogger(config: Config['log'], { node, worker, to = 1 }: LogContext): Logger {
  const text = config.format === 'text' || (config.format === 'auto' && typeof to === 'number' && isatty(to))
  // Nobody reads a terminal at a rate where asynchronous writing would pay; in order with other output is worth more.
  // minLength 1 writes at once, as 0 does, but only then does flush() do anything.
  const stream = typeof to === 'number' ? destination({ dest: to, sync: text, minLength: text ? 0 : 1 }) : to
  return pino(
    {
      level: config.level,
      base: worker === undefined ? { node } : { node, worker },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: { paths: [...SECRET_FIELDS, ...URL_FIELDS].flatMap((name) => [name, `*.${name}`]), censor },
    },
    text ? { write: (line) => stream.write(textLine(line)) } : stream,
  )
}

/** Resolves when all lines are written: before an exit, after which the last could overtake those under way. */
export const flushed = (log: Logger): Promise<void> =>
  new Promise((resolve) => {
    log.flush(() => resolve())
  })

function censor(value: unknown, path: string[]): unknown {
  const shown = URL_FIELDS.includes(path.at(-1) ?? '')
  if (!shown) return '***'
  return Array.isArray(value) ? value.map((item) => hideSecrets(String(item))) : hideSecrets(String(value))
}

// Drivers like to quote the connection string in their errors.
function serializeError(error: Error): object {
  const { cause: _, ...plain } = stdSerializers.errWithCause(error)
  const cause = error.cause instanceof Error ? { cause: serializeError(error.cause) } : {}
  return { ...plain, message: hideSecrets(error.message), stack: hideSecrets(error.stack ?? ''), ...cause }
}

import pg from 'pg'
import { TandemError } from '../src/ops/errors.ts'

/** SQLSTATEs after which the whole transaction may simply be run again: nothing of it was kept. */
export const RETRYABLE: ReadonlySet<string> = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
])

/** SQLSTATEs that say this server has stopped serving us, so that another one, or a later attempt, may help. */
const GONE: ReadonlySet<string> = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '53300', // too_many_connections
])

const REFUSED: ReadonlySet<string> = new Set([
  '28000', // invalid_authorization_specification
  '28P01', // invalid_password
  '3D000', // invalid_catalog_name
  '42501', // insufficient_privilege
])

const NO_SCHEMA: ReadonlySet<string> = new Set([
  '3F000', // invalid_schema_name
  '42P01', // undefined_table
  '42703', // undefined_column
  '42883', // undefined_function
])

export const sqlState = (error: unknown): string | undefined =>
  error instanceof pg.DatabaseError ? error.code : undefined

/** The driver's own words for a lost connection; it gives them no code. */
const LOST_TEXT =
  /^(Connection terminated|timeout expired|timeout exceeded|Query read timeout|Client (has encountered|was closed)|Cannot use a pool)/
const SSL_OR_LOGIN_TEXT = /^(SASL|The server does not support SSL|There was an error establishing an SSL)/

/** Whether the connection, or the server behind it, is of no more use. */
export function isConnectionLoss(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return GONE.has(state) || state.startsWith('08')
  // What the system refused has the name of its call: connect, read, getaddrinfo.
  return (
    error instanceof Error &&
    ('syscall' in error || error instanceof AggregateError || LOST_TEXT.test(error.message))
  )
}

/** `host:port/database` of a connection string, for messages: never the user's password. */
export function serverName(url: string): string {
  try {
    const { host, pathname } = new URL(url)
    return `${host || 'local socket'}${pathname}`
  } catch {
    return 'an invalid URL'
  }
}

/**
 * What an operator can act on, as a coded error; anything else comes back as it is, because it is a bug or a
 * constraint that the caller must know about.
 */
export function codedError(error: unknown, server: string): unknown {
  if (error instanceof TandemError) return error
  const state = sqlState(error)
  const cause = error
  const text = error instanceof Error ? firstLine(error) : String(error)
  if (isConnectionLoss(error)) {
    return new TandemError('DATABASE_UNREACHABLE', `PostgreSQL at ${server} cannot be reached: ${text}`, {
      hint: 'start PostgreSQL or set database.url',
      cause,
    })
  }
  if (state === '57014') {
    return new TandemError('DATABASE_UNREACHABLE', `PostgreSQL at ${server} took too long: ${text}`, {
      hint: 'look for locks and load there, or raise database.statementTimeoutMs',
      cause,
    })
  }
  if (REFUSED.has(state ?? '') || SSL_OR_LOGIN_TEXT.test(text)) return refusedError(error, server)
  if (NO_SCHEMA.has(state ?? '')) {
    return new TandemError(
      'DATABASE_SCHEMA',
      `the database at ${server} lacks something of Tandem's: ${text}`,
      {
        hint: 'run `tandem db migrate`',
        cause,
      },
    )
  }
  if (state === '25006') return readOnlyError([server], cause)
  return error
}

/** As {@link codedError}; while connecting, all that a server says against it is a refusal. */
export function connectError(error: unknown, server: string): unknown {
  const coded = codedError(error, server)
  return coded instanceof pg.DatabaseError ? refusedError(coded, server) : coded
}

const refusedError = (error: unknown, server: string): TandemError =>
  new TandemError('DATABASE_REFUSED', `PostgreSQL at ${server} refuses: ${firstLine(error as Error)}`, {
    hint: 'check user, password and database name in database.url',
    cause: error,
  })

export const readOnlyError = (servers: readonly string[], cause?: unknown): TandemError =>
  new TandemError('DATABASE_READ_ONLY', `no PostgreSQL accepts writes: ${servers.join(', ')}`, {
    hint: 'promote a standby, or add the primary to database.url',
    cause,
  })

/** Node reports an attempt on several addresses as an AggregateError without a text of its own. */
function firstLine(error: Error): string {
  const inner = error instanceof AggregateError ? error.errors.find((e) => e instanceof Error) : undefined
  return (inner?.message || error.message || String(error)).split('\n')[0] ?? ''
}

/** Whether PostgreSQL is only away, and waiting may help; what an operator has to put right is something else. */
export const isAway = (error: unknown): boolean =>
  error instanceof TandemError &&
  (error.code === 'DATABASE_UNREACHABLE' || error.code === 'DATABASE_READ_ONLY')

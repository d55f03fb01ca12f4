import pg from 'pg'
import type { Logger } from '../src/ops/logging.ts'
import { Backoff } from './backoff.ts'
import { CopyOut } from './copy-out.ts'
import type { CopyRow } from './copy-row.ts'
import { codedError, isConnectionLoss, RETRYABLE, sqlState } from './database-error.ts'
import { Listener } from './listener.ts'
import { connectWritable } from './writable.ts'

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>

export interface DatabaseOptions {
  /** One or more connection strings; the first server that accepts writes is used. */
  readonly url: string | readonly string[]
  /** Name of this node; sessions show as `tandem/NODE` in pg_stat_activity. */
  readonly node: string
  /** How long one attempt to connect may take, ms. Default 3000. */
  readonly connectTimeoutMs?: number
  /** How long one statement may run, ms. Default 5000. */
  readonly statementTimeoutMs?: number
  /** Connections kept, not counting the one that listens. Default 4. */
  readonly poolSize?: number
}

/** A statement that the server parses and plans once per connection, under its name. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** Statements of one transaction. */
export interface Session {
  /** Rows as objects; bigint as number. @throws pg.DatabaseError, unchanged */
  query<Row extends object>(statement: Statement | string, values?: unknown[]): Promise<Row[]>
  /** Rows as arrays of column values in order: a third cheaper than objects, for bulk reading. */
  queryArrays(statement: Statement | string, values?: unknown[]): Promise<unknown[][]>
}

export interface Subscription {
  stop(): void
}

const ATTEMPTS = 4

/**
 * The servers of one database, as one. A pool of connections goes to the first server that accepts writes; when it
 * is lost, or turns out to be a standby, the next use looks for the right one again, at most as often as a jittered
 * back-off allows: in between, uses fail at once with the reason of the last attempt.
 *
 * Nothing here throws outside a promise that somebody awaits.
 */
export class Database {
  readonly #urls: readonly string[]
  readonly #options: DatabaseOptions
  readonly #log: Log
  readonly #backoff = new Backoff(100, 5_000)
  readonly #draining = new Set<Promise<void>>()
  #pool: pg.Pool | undefined
  #server = ''
  #electing: Promise<pg.Pool> | undefined
  #lastFailure: unknown
  #listener: Listener | undefined
  #closed = false

  /** Connects to nothing yet: for a node that must start while PostgreSQL is away. See {@link open}. */
  constructor(options: DatabaseOptions, log: Log) {
    this.#urls = [options.url].flat()
    this.#options = options
    this.#log = log
  }

  /** @throws TandemError DATABASE_UNREACHABLE, DATABASE_REFUSED, DATABASE_READ_ONLY */
  static async open(options: DatabaseOptions, log: Log): Promise<Database> {
    const database = new Database(options, log)
    await database.#choose()
    return database
  }

  /** `host:port/database` of the server in use, or '' while there is none. Without password. */
  get server(): string {
    return this.#server
  }

  /**
   * One statement, one transaction. Run again after a deadlock or a serialisation failure, and on another server
   * after "read only", because then nothing has been done.
   * @throws TandemError for what an operator can act on; otherwise pg.DatabaseError
   */
  query<Row extends object>(statement: Statement | string, values?: unknown[]): Promise<Row[]> {
    return this.#run((pool) => asSession(pool).query<Row>(statement, values))
  }

  /** As {@link query}, rows as arrays of column values. */
  queryArrays(statement: Statement | string, values?: unknown[]): Promise<unknown[][]> {
    return this.#run((pool) => asSession(pool).queryArrays(statement, values))
  }

  /** Runs `work` between BEGIN and COMMIT; it may be run again, as with {@link query}, so it must change nothing else. */
  transaction<T>(work: (session: Session) => Promise<T>, mode = ''): Promise<T> {
    return this.#run(async (pool) => {
      const client = await pool.connect()
      let broken: Error | undefined
      try {
        await client.query(`begin ${mode}`)
        const result = await work(asSession(client))
        await client.query('commit')
        return result
      } catch (error) {
        broken = await client.query('rollback').then(
          () => undefined,
          (e: Error) => e,
        )
        throw error
      } finally {
        client.release(broken ?? false)
      }
    })
  }

  /**
   * The rows of a query in batches, in one consistent snapshot; see {@link CopyOut}. `select` is not prepared; put only
   * numbers into it. Leaving the loop early costs the connection.
   */
  async *copy<Row>(
    select: string,
    decode: (row: CopyRow) => Row,
    batchRows: number,
  ): AsyncGenerator<Row[], void, void> {
    const pool = await this.#choose()
    const client = await this.#coded(() => pool.connect())
    const patienceMs = this.#statementTimeoutMs
    let isComplete = false
    try {
      const copy = client.query(new CopyOut({ select, decode, batchRows, patienceMs }))
      for (let rows = await copy.next(); rows; rows = await copy.next()) yield rows
      isComplete = true
    } catch (error) {
      this.#noteLoss(pool, error)
      throw codedError(error, this.#server)
    } finally {
      client.release(!isComplete)
    }
  }

  /**
   * Calls `handler` with the payload of each NOTIFY on `channel`, and with undefined when notifications may have been
   * missed: once listening has begun, and again after every reconnect. A notification is a hint; re-read the state.
   * The channel is heard as soon as the database can be reached; this does not wait for it.
   */
  listen(channel: string, handler: (payload: string | undefined) => void): Subscription {
    this.#listener ??= new Listener(async () => {
      const { client } = await connectWritable(this.#urls, this.#clientConfig())
      return client
    }, this.#log)
    return this.#listener.subscribe(channel, handler)
  }

  /** Ends all connections; statements under way are waited for. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#listener?.close()
    await this.#electing?.catch(() => undefined)
    if (this.#pool) this.#drain(this.#pool)
    this.#pool = undefined
    await Promise.all(this.#draining)
  }

  async #run<T>(work: (pool: pg.Pool) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const pool = await this.#choose()
      try {
        return await work(pool)
      } catch (error) {
        const state = sqlState(error)
        const readOnly = state === '25006'
        if (readOnly || isConnectionLoss(error)) this.#noteLoss(pool, error)
        if (attempt >= ATTEMPTS || !(readOnly || RETRYABLE.has(state ?? '')))
          throw codedError(error, this.#server)
        await pause(5 * 2 ** attempt * (0.5 + Math.random()))
      }
    }
  }

  async #coded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw codedError(error, this.#server)
    }
  }

  /** The pool of the server in use; looks for one if there is none. */
  async #choose(): Promise<pg.Pool> {
    if (this.#pool) return this.#pool
    if (this.#closed) throw new Error(CLOSED)
    if (this.#backoff.waitMs() > 0) throw this.#lastFailure
    this.#electing ??= this.#elect().finally(() => {
      this.#electing = undefined
    })
    return this.#electing
  }

  async #elect(): Promise<pg.Pool> {
    try {
      const { url, server, client } = await connectWritable(this.#urls, this.#clientConfig())
      await client.end().catch(() => undefined)
      if (this.#closed) throw new Error(CLOSED)
      this.#backoff.reset()
      this.#server = server
      this.#pool = this.#newPool(url)
      this.#log.info({ server: this.#server }, 'database connected')
      return this.#pool
    } catch (error) {
      this.#backoff.fail()
      this.#lastFailure = error
      throw error
    }
  }

  get #statementTimeoutMs(): number {
    return this.#options.statementTimeoutMs ?? 5_000
  }

  #clientConfig(): pg.ClientConfig {
    const { node, connectTimeoutMs = 3_000 } = this.#options
    const statementTimeoutMs = this.#statementTimeoutMs
    return {
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
      // The server's own timeout answers first, unless the server or the way to it is gone.
      query_timeout: statementTimeoutMs + 2_000,
      application_name: `tandem/${node}`,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      types: { getTypeParser },
    }
  }

  #newPool(url: string): pg.Pool {
    const pool = new pg.Pool({
      ...this.#clientConfig(),
      connectionString: url,
      max: this.#options.poolSize ?? 4,
      idleTimeoutMillis: 60_000,
    })
    pool.on('error', (error) => this.#noteLoss(pool, error))
    // The pool hears an idle client; one that is lost between two statements of a transaction has nobody else.
    pool.on('connect', (client) => client.on('error', (error) => this.#noteLoss(pool, error)))
    return pool
  }

  /** After a lost connection the whole pool is suspect: the server may be gone, or demoted. */
  #noteLoss(pool: pg.Pool, error: unknown): void {
    if (this.#pool !== pool || !(isConnectionLoss(error) || sqlState(error) === '25006')) return
    this.#pool = undefined
    if (!this.#closed) this.#log.warn({ server: this.#server, err: error }, 'database lost')
    this.#drain(pool)
  }

  #drain(pool: pg.Pool): void {
    const drained = pool
      .end()
      .catch(() => undefined)
      .finally(() => this.#draining.delete(drained))
    this.#draining.add(drained)
  }
}

const CLOSED = 'the database has been closed'

function asSession(client: pg.Pool | pg.PoolClient): Session {
  return {
    async query<Row extends object>(statement: Statement | string, values?: unknown[]) {
      return (await client.query<Row>({ ...asConfig(statement), values })).rows
    },
    async queryArrays(statement, values) {
      return (await client.query<unknown[]>({ ...asConfig(statement), values, rowMode: 'array' })).rows
    },
  }
}

const asConfig = (statement: Statement | string): { text: string; name?: string } =>
  typeof statement === 'string' ? { text: statement } : statement

const INT8 = 20

/** Every bigint of ours counts changes or bytes and stays far below 2^53. */
function getTypeParser(oid: number, format?: 'text' | 'binary') {
  return oid === INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format as 'text')
}

const pause = (delayMs: number) => new Promise<void>((resolve) => setTimeout(resolve, delayMs))

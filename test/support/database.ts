import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Test } from 'tap'
import { Database, type DatabaseOptions, type Log } from '../../db/database.ts'
import { migrate } from '../../db/migrate.ts'

/** A log that nobody reads. */
export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** For a server that may forget everything if the machine dies. */
export const CARELESS = {
  initdbFlags: ['--no-sync'],
  postgresFlags: [
    'fsync=off',
    'synchronous_commit=off',
    'full_page_writes=off',
    'shared_buffers=32MB',
  ].flatMap((setting) => ['-c', setting]),
}

/** Database that has Tandem's schema and no rows, to be copied. */
export const TEMPLATE = 'tandem_template'

const START_LIMIT_MS = 40_000

let databases = 0

export interface TestServer {
  /** Of the server's own database, for a superuser. */
  readonly adminUrl: string
  /** A new database with Tandem's schema, or an empty one; dropped when the test file ends. */
  createDatabase(options?: { migrated?: boolean }): Promise<string>
  /** A {@link Database} on `url`, closed when the test file ends. */
  open(url: string | readonly string[], options?: Partial<DatabaseOptions>): Promise<Database>
  /** Statements on `url` by a session of its own, as a DBA would type them. */
  sql<Row extends object>(url: string, text: string, values?: unknown[]): Promise<Row[]>
}

/**
 * PostgreSQL for a test file. The files of one run share a server, which the first of them starts and which goes when
 * the run is over; each has databases of its own. A server for each would cost two seconds of processor time a file.
 * Works for root and for an ordinary user. With TANDEM_TEST_DATABASE_URL, of a superuser, that server is used instead:
 * for trying another version of PostgreSQL.
 */
export async function testServer(t: Test): Promise<TestServer> {
  const given = process.env.TANDEM_TEST_DATABASE_URL
  const adminUrl = given ?? (await sharedServer())
  const opened: Database[] = []
  const created: string[] = []
  t.teardown(async () => {
    await Promise.all(opened.map((db) => db.close()))
    for (const name of created) await sql(adminUrl, `drop database ${name} with (force)`)
  })
  return {
    adminUrl,
    createDatabase: async ({ migrated = true } = {}) => {
      const name = `test_${process.pid}_${++databases}`
      await sql(adminUrl, `create database ${name} template ${migrated && !given ? TEMPLATE : 'template0'}`)
      created.push(name)
      const url = adminUrl.replace(/[^/]+$/, name)
      if (migrated && given) await migrate(url, silent)
      return url
    },
    open: async (url, options) => {
      const db = await Database.open({ url, node: 'test', ...options }, silent)
      opened.push(db)
      return db
    },
    sql,
  }
}

/** A server and one migrated database with an open {@link Database}: what most test files want. */
export async function testDatabase(t: Test): Promise<TestServer & { db: Database; url: string }> {
  const server = await testServer(t)
  const url = await server.createDatabase()
  return { ...server, url, db: await server.open(url) }
}

/** A temporary folder, removed when the test ends, that PostgreSQL's user may enter when the tests run as root. */
export async function testFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-test-'))
  await chmod(folder, 0o755)
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

/** The files of one run have the same parent, the runner; whoever can make the folder of that name starts the server. */
async function sharedServer(): Promise<string> {
  const folder = join(tmpdir(), `tandem-test-run-${process.ppid}`)
  const giveUpAt = performance.now() + START_LIMIT_MS
  while (performance.now() < giveUpAt) {
    startOnce(folder)
    const url = read(folder, 'ready')
    if (url) return url
    const failure = read(folder, 'failed')
    if (failure) throw new Error(failure)
    await pause(30)
  }
  throw new Error(`no test server within ${START_LIMIT_MS} ms`)
}

function startOnce(folder: string): void {
  try {
    mkdirSync(folder)
  } catch {
    // A run that was killed, with a runner of the same process id, may have left this behind.
    const keeper = Number(read(folder, 'pid'))
    if (keeper && !existsSync(`/proc/${keeper}`) && existsSync('/proc/self')) {
      rmSync(folder, { recursive: true, force: true })
    }
    return
  }
  chmodSync(folder, 0o755)
  const entry = fileURLToPath(new URL('./database-server.ts', import.meta.url))
  // Not the runner's flags: its hooks would wait for this process, which outlives the file that started it.
  const child = spawn(process.execPath, ['--import=tsx', entry, folder, String(process.ppid)], {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  writeFileSync(join(folder, 'pid'), String(child.pid))
  child.unref()
}

function read(folder: string, name: string): string | undefined {
  try {
    return readFileSync(join(folder, name), 'utf8')
  } catch {
    return undefined
  }
}

async function sql<Row extends object>(url: string, text: string, values?: unknown[]): Promise<Row[]> {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

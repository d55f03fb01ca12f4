import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import type pg from 'pg'
import { TandemError } from '../src/ops/errors.ts'
import type { Log } from './database.ts'
import { codedError, sqlState } from './database-error.ts'
import { connectWritable } from './writable.ts'

const DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url))
const OLDEST = 140_000
const CONNECT_TIMEOUT_MS = 5_000

export interface MigrateResult {
  /** Names of the files applied now, in order; empty when the schema was up to date. */
  readonly applied: string[]
}

/**
 * Brings the schema `tandem` up to date. Safe when many nodes start at once: one works, the others wait for it. All
 * pending files are one transaction. Needs no right to create anything when there is nothing to do.
 * @throws TandemError DATABASE_UNREACHABLE, DATABASE_REFUSED, DATABASE_READ_ONLY, DATABASE_TOO_OLD, DATABASE_SCHEMA
 *   (newer than this release), MIGRATION_FAILED
 */
export async function migrate(url: string | readonly string[], log: Log): Promise<MigrateResult> {
  const { client, server } = await connectWritable([url].flat(), {
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'tandem/migrate',
  })
  client.on('notice', ({ severity, message, hint }) => {
    // What the migrating role may not do by itself, with the statements to run.
    if (severity === 'WARNING') log.warn({ hint }, message ?? 'a migration warns')
  })
  try {
    await checkVersion(client, server)
    if (await isUpToDate(client, server)) return { applied: [] }
    const applied = await run(client, log)
    for (const name of applied) log.info({ migration: name }, 'migration applied')
    return { applied }
  } catch (error) {
    throw failure(error, server)
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function run(client: pg.Client, log: Log): Promise<string[]> {
  const applied = await runner({
    dbClient: client,
    dir: DIRECTORY,
    direction: 'up',
    schema: 'tandem',
    createSchema: true,
    migrationsTable: 'migration',
    advisoryLockMode: 'wait',
    singleTransaction: true,
    logger: { ...quiet, error: (text: string) => log.debug(text) },
  })
  return applied.map(({ name }) => name)
}

const quiet = { debug: () => {}, info: () => {}, warn: () => {} }

async function checkVersion(client: pg.Client, server: string): Promise<void> {
  const { rows } = await client.query<{ number: number; text: string }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as text`,
  )
  const { number = 0, text = '' } = rows[0] ?? {}
  requireVersion(number, text, server)
}

/** `number` as in server_version_num: 140000 for 14.0. @throws TandemError DATABASE_TOO_OLD */
export function requireVersion(number: number, text: string, server: string): void {
  if (number >= OLDEST) return
  throw new TandemError('DATABASE_TOO_OLD', `PostgreSQL at ${server} is version ${text}`, {
    hint: 'use PostgreSQL 14 or newer',
  })
}

/** @throws TandemError DATABASE_SCHEMA when the database has files that this release does not know */
async function isUpToDate(client: pg.Client, server: string): Promise<boolean> {
  const { rows: found } = await client.query(`select to_regclass('tandem.migration') is not null as yes`)
  if (!found[0]?.yes) return false
  const { rows } = await client.query<{ name: string }>('select name from tandem.migration')
  const known = await migrationNames()
  const unknown = rows.map(({ name }) => name).filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new TandemError(
      'DATABASE_SCHEMA',
      `the tables at ${server} are newer than this release of Tandem: it does not know ${unknown.join(', ')}`,
      { hint: 'install the release that the other nodes run' },
    )
  }
  return rows.length === known.length
}

/** Names of the migrations that belong to this release, without `.sql`, in order. */
export async function migrationNames(): Promise<string[]> {
  const files = await readdir(DIRECTORY)
  return files
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort()
}

function failure(error: unknown, server: string): unknown {
  const state = sqlState(error)
  if (state === '25006' || state === '42501') return codedError(error, server)
  const coded = codedError(error, server)
  if (coded instanceof TandemError && coded.code !== 'DATABASE_SCHEMA') return coded
  if (error instanceof TandemError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new TandemError('MIGRATION_FAILED', `a migration of ${server} failed and was undone: ${text}`, {
    hint: 'report this as a bug, with the text above',
    cause: error,
  })
}

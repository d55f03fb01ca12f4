/*
 * Keeps the one PostgreSQL that the test files of a run share: `database-server.ts FOLDER PID`. It writes FOLDER/ready
 * with the server's URL, and ends when process PID, the runner, is gone, or when nobody has used it for a while.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../../db/embedded.ts'
import { migrate } from '../../db/migrate.ts'
import { CARELESS, freePort, silent, TEMPLATE } from './database.ts'

const IDLE_LIMIT_MS = 10_000
const LOOK_MS = 250

const [, , folder = '', runner = ''] = process.argv

function publish(name: string, text: string): void {
  writeFileSync(join(folder, `${name}.new`), text)
  renameSync(join(folder, `${name}.new`), join(folder, name))
}

async function prepare(): Promise<{ server: Embedded; client: pg.Client }> {
  const server = await startEmbedded({ dataDir: folder, port: await freePort(), ...CARELESS })
  const client = new pg.Client(server.url)
  await client.connect()
  await client.query(`create database ${TEMPLATE}`)
  await migrate(server.url.replace(/[^/]+$/, TEMPLATE), silent)
  publish('ready', server.url)
  return { server, client }
}

function runnerLives(): boolean {
  try {
    return process.kill(Number(runner), 0)
  } catch {
    return false
  }
}

const USERS = `select count(*)::int as count from pg_stat_activity
  where backend_type = 'client backend' and pid <> pg_backend_pid()`

async function keep(client: pg.Client): Promise<void> {
  let usedAt = performance.now()
  while (runnerLives() && performance.now() - usedAt < IDLE_LIMIT_MS) {
    await pause(LOOK_MS)
    const { rows } = await client.query<{ count: number }>(USERS)
    if (rows[0]?.count) usedAt = performance.now()
  }
}

try {
  const { server, client } = await prepare()
  await keep(client)
  // Newcomers must not find it any more before it goes.
  rmSync(join(folder, 'ready'), { force: true })
  await client.end()
  await server.close()
} catch (error) {
  publish('failed', String(error))
  await pause(2_000)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import t from 'tap'
import { startEmbedded } from '../../db/embedded.ts'
import { CARELESS, freePort, testFolder } from '../support/database.ts'

const folder = await testFolder(t)
const dataDir = join(folder, 'data')
const port = await freePort()
const start = () => startEmbedded({ dataDir, port, ...CARELESS })

const postmaster = () => Number.parseInt(readFileSync(join(dataDir, 'postgres/postmaster.pid'), 'utf8'), 10)

/** A dead orphan that nobody has buried yet counts as gone. */
function lives(pid: number): boolean {
  try {
    const dead = existsSync('/proc/self') && / Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    return !dead && process.kill(pid, 0)
  } catch {
    return false
  }
}

async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 500 && lives(pid); i++) await pause(20)
  return !lives(pid)
}

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

t.test('a new folder becomes a cluster that keeps what is written', async (t) => {
  const logged: string[] = []
  const first = await startEmbedded({ dataDir, port, ...CARELESS, onLog: (line) => logged.push(line) })
  t.same(
    await ask(
      first.url,
      `select current_database() as db, current_user as who, pg_encoding_to_char(encoding) as encoding,
        datcollate as locale, current_setting('data_checksums') as checksums,
        current_setting('listen_addresses') as face, current_setting('password_encryption') as passwords
       from pg_database where datname = current_database()`,
    ),
    [
      {
        db: 'tandem',
        who: 'tandem',
        encoding: 'UTF8',
        locale: 'C',
        checksums: 'on',
        face: '127.0.0.1',
        passwords: 'scram-sha-256',
      },
    ],
  )
  t.ok(logged.some((line) => line.includes('ready to accept connections')))
  await ask(first.url, 'create table kept (n int)')
  await t.rejects(ask(first.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1'), { code: '28P01' })
  t.equal(statSync(join(dataDir, 'postgres.password')).mode & 0o777, 0o600)
  const pid = postmaster()
  await first.close()
  t.notOk(lives(pid), 'close() waits for the end')
  const second = await start()
  t.equal(second.url, first.url)
  t.same(await ask(second.url, 'select * from kept'), [])
  await second.close()
})

t.test('a taken port is named, and nothing is made', async (t) => {
  const squatter = createServer().listen(port, '127.0.0.1')
  await once(squatter, 'listening')
  await t.rejects(start(), {
    code: 'PORT_TAKEN',
    message: new RegExp(`127\\.0\\.0\\.1:${port}`),
    hint: /up\.databasePort/,
  })
  const elsewhere = join(folder, 'elsewhere')
  await t.rejects(startEmbedded({ dataDir: elsewhere, port, ...CARELESS }), { code: 'PORT_TAKEN' })
  t.notOk(existsSync(join(elsewhere, 'postgres')))
  squatter.close()
})

t.test('folders that are not ours are left as they are', async (t) => {
  const cases: [string, string, RegExp][] = [
    ['old', 'PG_VERSION', /is of PostgreSQL 13; this release brings PostgreSQL \d+$/],
    ['foreign', 'holiday.jpg', /holds files that are not PostgreSQL/],
  ]
  for (const [name, file, message] of cases) {
    const path = join(folder, name)
    mkdirSync(join(path, 'postgres'), { recursive: true })
    writeFileSync(join(path, 'postgres', file), '13\n')
    await t.rejects(startEmbedded({ dataDir: path, port }), {
      code: 'DATA_DIR_FOREIGN',
      message,
      hint: /up\.dataDir/,
    })
    t.equal(readFileSync(join(path, 'postgres', file), 'utf8'), '13\n')
  }
  writeFileSync(join(folder, 'file'), '')
  await t.rejects(startEmbedded({ dataDir: join(folder, 'file'), port }), { code: 'DATA_DIR_UNUSABLE' })
})

t.test('a folder is not shared by two', async (t) => {
  const first = await start()
  const second = startEmbedded({ dataDir, port: await freePort(), ...CARELESS })
  await t.rejects(second, { code: 'DATA_DIR_IN_USE', message: new RegExp(`process ${first.pid}$`) })
  t.same(await ask(first.url, 'select 1 as one'), [{ one: 1 }])
  await first.close()
})

t.test('PostgreSQL goes with the process that started it, however that ends', async (t) => {
  const parent = fork(fileURLToPath(new URL('./embedded-parent.ts', import.meta.url)), [
    dataDir,
    String(port),
  ])
  await once(parent, 'message')
  const pid = postmaster()
  t.ok(lives(pid))
  parent.kill('SIGKILL')
  t.ok(await gone(pid))
})

t.test('one whose keeper was killed is taken over', async (t) => {
  const first = await start()
  const pid = postmaster()
  process.kill(first.pid, 'SIGKILL')
  await first.exited
  t.ok(lives(pid), 'the keeper could not stop it')
  const second = await start()
  t.notOk(lives(pid))
  t.not(postmaster(), pid)
  await second.close()
})

t.test('a crash of PostgreSQL is told, and the next start recovers', async (t) => {
  const first = await start()
  process.kill(postmaster(), 'SIGKILL')
  await first.exited
  const second = await start()
  t.same(await ask(second.url, 'select 1 as one'), [{ one: 1 }])
  await second.close()
})

t.test('a pid file whose number now belongs to another process does not matter', async (t) => {
  writeFileSync(join(dataDir, 'postgres/postmaster.pid'), `${process.pid}\n${join(dataDir, 'postgres')}\n`)
  const server = await start()
  t.same(await ask(server.url, 'select 1 as one'), [{ one: 1 }])
  await server.close()
  t.ok(lives(process.pid))
})

t.test('what a first start that was killed left behind is cleared away', async (t) => {
  const path = join(folder, 'unfinished')
  mkdirSync(join(path, 'postgres.new'), { recursive: true })
  writeFileSync(join(path, 'postgres.new/PG_VERSION'), '18\n')
  writeFileSync(join(path, 'postgres.password'), 'stale\n')
  const server = await startEmbedded({ dataDir: path, port, ...CARELESS })
  t.same(await ask(server.url, 'select 1 as one'), [{ one: 1 }])
  await server.close()
  t.notOk(existsSync(join(path, 'postgres.new')))
})

if (process.getuid?.() === 0) {
  t.test('started by root, a folder that PostgreSQL cannot enter is named', async (t) => {
    const locked = join(folder, 'locked')
    mkdirSync(locked, { mode: 0o700 })
    await t.rejects(startEmbedded({ dataDir: join(locked, 'data'), port }), {
      code: 'DATA_DIR_UNUSABLE',
      message: new RegExp(`cannot enter ${locked} on the way`),
      hint: /chmod o\+x/,
    })
  })
}

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import pg from 'pg'
import t from 'tap'
import { Database } from '../../db/database.ts'
import { freePort, silent, testServer } from '../support/database.ts'

const server = await testServer(t)

const kill = (url: string) =>
  server.sql(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  )

/** Tries again as long as the back-off, or a connection that is just being lost, refuses. */
async function eventually<T>(work: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + 10_000
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

t.test('sessions carry the name of the node', async (t) => {
  const db = await server.open(await server.createDatabase(), { node: 's1a' })
  t.same(await db.query(`select current_setting('application_name') as name`), [{ name: 'tandem/s1a' }])
})

t.test('bigint is a number, a named statement is prepared once', async (t) => {
  const db = await server.open(await server.createDatabase(), { poolSize: 1 })
  const statement = { name: 'twice', text: 'select $1::bigint as n' }
  t.same(await db.query(statement, [2 ** 40]), [{ n: 2 ** 40 }])
  t.same(await db.queryArrays(statement, [5]), [[5]])
  t.same(await db.query('select name from pg_prepared_statements'), [{ name: 'twice' }])
})

t.test('the first server that accepts writes is used', async (t) => {
  const [standby, primary] = [await server.createDatabase(), await server.createDatabase()]
  const name = standby.split('/').at(-1)
  await server.sql(server.adminUrl, `alter database ${name} set default_transaction_read_only = on`)
  const away = `postgres://u@127.0.0.1:${await freePort()}/x`
  const db = await server.open([away, standby, primary])
  t.equal(db.server, new URL(primary).host + new URL(primary).pathname)
  await t.rejects(server.open([away, standby]), { code: 'DATABASE_READ_ONLY' })
  await t.rejects(server.open(away), { code: 'DATABASE_UNREACHABLE', message: /ECONNREFUSED/ })
})

t.test(
  'a primary that becomes a standby is left for the new one, and the statement is run there',
  async (t) => {
    const [a, b] = [await server.createDatabase(), await server.createDatabase()]
    const db = await server.open([a, b], { poolSize: 1 })
    const readOnly = (url: string, state: string) =>
      server.sql(
        server.adminUrl,
        `alter database ${url.split('/').at(-1)} set default_transaction_read_only = ${state}`,
      )
    await readOnly(a, 'on')
    await db.query('set default_transaction_read_only = on')
    await db.query(`insert into tandem.domain (name) values ('example.com')`)
    t.same(await server.sql(b, 'select name from tandem.domain'), [{ name: 'example.com' }])
  },
)

t.test('lost connections come back', async (t) => {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await Promise.all([1, 2, 3].map(() => db.query('select 1')))
  await kill(url)
  t.same(await eventually(() => db.query('select 1 as one')), [{ one: 1 }])
})

t.test('a connection that is lost in a transaction is an error, and not used again', async (t) => {
  const url = await server.createDatabase()
  const db = await server.open(url, { poolSize: 1 })
  const lost = db.transaction(async (session) => {
    await session.query('select 1')
    await kill(url)
    await session.query('select 1')
  })
  await t.rejects(lost, { code: 'DATABASE_UNREACHABLE' })
  t.same(await eventually(() => db.query('select 1 as one')), [{ one: 1 }])
})

t.test('while there is no server, uses fail at once with the reason', async (t) => {
  const port = await freePort()
  const db = new Database({ url: `postgres://u@127.0.0.1:${port}/x`, node: 'test' }, silent)
  t.teardown(() => db.close())
  await t.rejects(db.query('select 1'), { code: 'DATABASE_UNREACHABLE', hint: /database\.url/ })
  let accepted = 0
  const late = createServer(() => accepted++).listen(port, '127.0.0.1')
  await once(late, 'listening')
  t.teardown(() => late.close())
  await t.rejects(db.query('select 1'), { code: 'DATABASE_UNREACHABLE', message: /ECONNREFUSED/ })
  t.equal(accepted, 0, 'the back-off keeps it from trying again')
})

t.test('a server that accepts and says nothing is given up on in time', async (t) => {
  const sockets: Socket[] = []
  const mute = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    mute.close()
  })
  const { port } = mute.address() as { port: number }
  const from = performance.now()
  const opening = Database.open(
    { url: `postgres://u@127.0.0.1:${port}/x`, node: 'test', connectTimeoutMs: 200 },
    silent,
  )
  await t.rejects(opening, { code: 'DATABASE_UNREACHABLE' })
  t.ok(performance.now() - from < 2_000)
})

t.test('errors an operator can act on have codes, others stay as they are', async (t) => {
  const db = await server.open(await server.createDatabase({ migrated: false }), { statementTimeoutMs: 100 })
  await t.rejects(db.query('select pg_sleep(5)'), { code: 'DATABASE_UNREACHABLE', message: /took too long/ })
  await t.rejects(db.query('select * from tandem.binding'), { code: 'DATABASE_SCHEMA', hint: /db migrate/ })
  await t.rejects(db.query('select 1 / 0'), { code: '22012' })
  const bug = new TypeError('a bug')
  await t.rejects(
    db.transaction(async () => {
      throw bug
    }),
    bug,
  )
})

t.test('a deadlock is run again', async (t) => {
  const url = await server.createDatabase()
  await server.sql(
    url,
    `create table pair (id int primary key, n int); insert into pair values (1, 0), (2, 0)`,
  )
  const db = await server.open(url)
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => other.end())
  await other.query(`begin; set local deadlock_timeout = '10s'; update pair set n = n + 1 where id = 2`)
  let runs = 0
  let crossing: Promise<unknown> | undefined
  await db.transaction(async (session) => {
    runs++
    await session.query(`set local deadlock_timeout = '10ms'`)
    await session.query('update pair set n = n + 1 where id = 1')
    crossing ??= other.query('update pair set n = n + 1 where id = 1; commit')
    await session.query('update pair set n = n + 1 where id = 2')
  })
  await crossing
  t.equal(runs, 2)
  t.same(await server.sql(url, 'select n from pair order by id'), [{ n: 2 }, { n: 2 }])
})

t.test('after close nothing is left, and nothing works', async (t) => {
  const url = await server.createDatabase()
  const db = await server.open(url)
  const heard = new Promise((resolve) => db.listen('x', resolve))
  await Promise.all([heard, db.query('select 1')])
  await db.close()
  await t.rejects(db.query('select 1'), /closed/)
  const sessions = await eventually(async () => {
    const rows = await server.sql(
      url,
      `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
    if (rows.length > 0) throw new Error('still connected')
    return rows
  })
  t.same(sessions, [])
})

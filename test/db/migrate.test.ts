import t from 'tap'
import { migrate, migrationNames, requireVersion } from '../../db/migrate.ts'
import { silent, testServer } from '../support/database.ts'

const server = await testServer(t)
const { sql } = server

t.test('brings an empty database up to date once', async (t) => {
  const url = await server.createDatabase({ migrated: false })
  const names = await migrationNames()
  t.ok(names.length >= 2)
  t.same((await migrate(url, silent)).applied, names)
  t.same((await migrate(url, silent)).applied, [])
  t.same(
    (await sql<{ name: string }>(url, 'select name from tandem.migration order by id')).map((r) => r.name),
    names,
  )
})

t.test('three at once: one works, the others wait and find it done', async (t) => {
  const url = await server.createDatabase({ migrated: false })
  const results = await Promise.all([1, 2, 3].map(() => migrate(url, silent)))
  t.same(results.map(({ applied }) => applied.length).sort(), [0, 0, (await migrationNames()).length])
})

t.test('everything is in one schema and says what it is', async (t) => {
  const url = await server.createDatabase()
  const strangers = await sql(
    url,
    `select nspname from pg_namespace
    where nspname not in ('tandem', 'public', 'information_schema') and nspname !~ '^pg_'`,
  )
  t.same(strangers, [])
  const dumb = await sql(
    url,
    `select c.relname, a.attname from pg_class c
    join pg_attribute a on a.attrelid = c.oid and not a.attisdropped and a.attnum >= 0
    where c.relnamespace = 'tandem'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and col_description(c.oid, a.attnum) is null`,
  )
  t.same(dumb, [], 'columns without a comment')
  const dumbTables = await sql(
    url,
    `select relname from pg_class c where relnamespace = 'tandem'::regnamespace
    and relkind in ('r', 'p', 'S') and obj_description(oid) is null and relname <> 'migration_id_seq'`,
  )
  t.same(dumbTables, [], 'tables without a comment')
  const dumbFunctions = await sql(
    url,
    `select proname from pg_proc where pronamespace = 'tandem'::regnamespace
    and obj_description(oid) is null`,
  )
  t.same(dumbFunctions, [], 'functions without a comment')
})

t.test('a schema newer than this release is refused', async (t) => {
  const url = await server.createDatabase()
  await sql(url, `insert into tandem.migration (name, run_on) values ('9999-future', now())`)
  await t.rejects(migrate(url, silent), { code: 'DATABASE_SCHEMA', message: /9999-future/ })
})

t.test('a server that is away, or refuses, is named without its password', async (t) => {
  await t.rejects(migrate('postgres://u:hush@127.0.0.1:1/x', silent), {
    code: 'DATABASE_UNREACHABLE',
    message: /^PostgreSQL at 127\.0\.0\.1:1\/x cannot be reached: connect ECONNREFUSED/,
  })
  const wrong = server.adminUrl.replace(/:[^:@]+@/, ':wrong@')
  await t.rejects(migrate(wrong, silent), {
    code: 'DATABASE_REFUSED',
    message: /password authentication failed/,
  })
  const nowhere = server.adminUrl.replace(/[^/]+$/, 'nowhere')
  await t.rejects(migrate(nowhere, silent), { code: 'DATABASE_REFUSED', message: /"nowhere" does not exist/ })
})

t.test('a user with no right to create anything passes when there is nothing to do', async (t) => {
  const url = await server.createDatabase()
  await sql(
    url,
    `create role plain login password 'plain'; grant usage on schema tandem to plain;
    grant select on tandem.migration to plain`,
  )
  const plain = url.replace(/\/\/[^@]+@/, '//plain:plain@')
  t.same((await migrate(plain, silent)).applied, [])
})

t.test('the second of several servers is used when the first is away', async (t) => {
  const url = await server.createDatabase({ migrated: false })
  t.ok((await migrate(['postgres://u@127.0.0.1:1/x', url], silent)).applied.length > 0)
})

t.test('PostgreSQL 14 is old enough, 13 too old', async (t) => {
  t.doesNotThrow(() => requireVersion(140000, '14.0', 'here'))
  t.throws(() => requireVersion(130022, '13.22', 'here:5432/x'), {
    code: 'DATABASE_TOO_OLD',
    message: 'PostgreSQL at here:5432/x is version 13.22',
    hint: 'use PostgreSQL 14 or newer',
  })
})

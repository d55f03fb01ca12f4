import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { CopyRow } from '../../db/copy-row.ts'
import { testDatabase } from '../support/database.ts'

const { db, open, url, sql } = await testDatabase(t)

async function read<Row>(select: string, decode: (row: CopyRow) => Row, batchRows = 100): Promise<Row[]> {
  const rows: Row[] = []
  for await (const batch of db.copy(select, decode, batchRows)) rows.push(...batch)
  return rows
}

t.test('each type as it is in PostgreSQL', async (t) => {
  const numbers = await read(
    `select 1::smallint, -2, -3::bigint union all select 32767::smallint, 2147483647, ${2 ** 53 - 1}`,
    (row) => [row.int2(), row.int4(), row.int8()],
  )
  t.strictSame(numbers, [
    [1, -2, -3],
    [32_767, 2_147_483_647, 2 ** 53 - 1],
  ])
  const select = `values (true, 'a', null, null::bigint, 5::bigint), (false, 'Jürgen', '', 7, 6)`
  t.strictSame(
    await read(select, (row) => [row.boolean(), row.text(), row.textOrNull(), row.int8OrNull(), row.int8()]),
    [
      [true, 'a', null, null, 5],
      [false, 'J\xc3\xbcrgen', '', 7, 6],
    ],
  )
  const texts = `values ('{}'::text[], 'x'), ('{a,"b, c",NULL,""}', 'y'), (null, 'z')`
  t.strictSame(
    (
      await read(`select coalesce(column1, '{}'), column2 from (${texts}) as v`, (row) => [
        row.texts(),
        row.text(),
      ])
    ).sort(),
    [
      [['a', 'b, c', ''], 'y'],
      [[], 'x'],
      [[], 'z'],
    ].sort(),
  )
})

t.test('times, to the millisecond; without end is far away', async (t) => {
  const times = ['1999-12-31 23:59:59.999Z', '2000-01-01Z', '2026-05-01 12:00:00.123Z']
  const select = times.map((time) => `select '${time}'::timestamptz`).join(' union all ')
  t.strictSame(
    await read(select, (row) => row.milliseconds()),
    times.map((time) => Date.parse(time.replace(' ', 'T').replace(/^(\d+-\d+-\d+)Z$/, '$1T00:00:00Z'))),
  )
  const [always] = await read(`select 'infinity'::timestamptz`, (row) => row.milliseconds())
  t.ok(always && always > Date.UTC(9999, 1))
})

t.test('batches are full but for the last', async (t) => {
  const sizes = []
  for await (const batch of db.copy('select generate_series(1, 1050)', (row) => row.int4(), 100))
    sizes.push(batch.length)
  t.strictSame(sizes, [...Array.from({ length: 10 }, () => 100), 50])
  for await (const batch of db.copy('select 1 where false', (row) => row.int4(), 100)) t.fail(`${batch}`)
})

t.test('whoever is slow has no more in memory than a few batches', async (t) => {
  let decoded = 0
  let taken = 0
  let most = 0
  const count = (row: CopyRow) => {
    decoded++
    return row.text()
  }
  for await (const batch of db.copy(`select repeat('x', 100) from generate_series(1, 100000)`, count, 100)) {
    taken += batch.length
    for (let i = 0; i < 3; i++) await nextTurn()
    most = Math.max(most, decoded - taken)
  }
  t.equal(taken, 100_000)
  // What comes with one read of the socket is decoded at once.
  t.ok(most < 2_000, `${most} rows waited`)
})

t.test('what goes wrong in the middle is an error, and the next one works', async (t) => {
  const own = await open(url, { poolSize: 1, statementTimeoutMs: 300 })
  const all = async (select: string, decode = (row: CopyRow): unknown => row.int4()) => {
    for await (const _ of own.copy(select, decode, 10)) await nextTurn()
  }
  await t.rejects(all('select 1 / (500 - i) from generate_series(1, 1000) as i'), { code: '22012' })
  await t.rejects(all('select no_such_column'), { code: 'DATABASE_SCHEMA' })
  const broken = () => {
    throw new Error('what is that?')
  }
  await t.rejects(all('select generate_series(1, 100)', broken), { message: 'what is that?' })
  await t.rejects(all('select pg_terminate_backend(pg_backend_pid())::int'), { code: 'DATABASE_UNREACHABLE' })
  await t.rejects(all('select i, pg_sleep(2)::text from generate_series(1, 3) as i'), {
    code: 'DATABASE_UNREACHABLE',
  })
  await all('select generate_series(1, 30)')
})

t.test(
  'a server that goes on sending is not given up on, though it takes longer than a statement may',
  async (t) => {
    const own = await open(url, { statementTimeoutMs: 200 })
    let rows = 0
    for await (const batch of own.copy(
      // PostgreSQL sends when it has 8 kB.
      `select i, repeat('x', 9000), pg_sleep(0.03)::text from generate_series(1, 20) as i`,
      (row) => row.int4(),
      2,
    ))
      rows += batch.length
    t.equal(rows, 20)
  },
)

t.test('a loop that is left early leaves nothing behind', async (t) => {
  for await (const batch of db.copy('select generate_series(1, 1000000)', (row) => row.int4(), 100)) {
    t.equal(batch.length, 100)
    break
  }
  const left = `select count(*)::int as count from pg_stat_activity
    where query like 'begin read only%' and pid <> pg_backend_pid() and state = 'active' and datname = current_database()`
  const isSending = async () => (await sql<{ count: number }>(url, left))[0]?.count !== 0
  const giveUpMs = performance.now() + 10_000
  while (performance.now() < giveUpMs && (await isSending())) await nextTurn()
  t.notOk(await isSending(), 'PostgreSQL sends no more')
})

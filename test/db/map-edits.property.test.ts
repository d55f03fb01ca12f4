import fc from 'fast-check'
import pg from 'pg'
import t, { type Test } from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { testServer } from '../support/database.ts'

/** For longer hunts: `TANDEM_TEST_SECONDS=600 TANDEM_TEST_SEED=7 npx tap test/db/map-edits.property.test.ts`. */
const SECONDS = Number(process.env.TANDEM_TEST_SECONDS ?? 6)
const SEED = Number(process.env.TANDEM_TEST_SEED ?? 2026)

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

interface Snapshot {
  readonly domain: { name: string }[]
  readonly sip_group: { name: string }[]
  readonly member: { node: string; group_name: string; role: string; sip_address: string | null }[]
  readonly slot_range: { first: number; last: number; group_name: string }[]
  readonly pin: { kind: string; value: string; group_name: string }[]
}

/** What no version may be. */
function faultOf({ sip_group, member, slot_range, pin }: Snapshot): string | undefined {
  let next = 0
  for (const { first, last } of slot_range) {
    if (first !== next) return `slot ${Math.min(first, next)} is ${first > next ? 'in no range' : 'in two'}`
    next = last + 1
  }
  if (next !== 16_384) return `the ranges end at ${next - 1}`
  for (const { group_name } of [...slot_range, ...pin]) {
    if (!sip_group.some(({ name }) => name === group_name)) return `${group_name} does not exist`
    const masters = member.filter((m) => m.group_name === group_name && m.role === 'master')
    if (masters.length !== 1 || masters[0]?.sip_address === null) return `${group_name} has no master`
  }
  const orphan = member.find(({ group_name }) => !sip_group.some(({ name }) => name === group_name))
  return orphan && `${orphan.node} has no group`
}

const slot = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 16_383 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, 2048, 2047, 8192, 16_382, 16_383) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 16_384) },
)
const group = fc.constantFrom('a', 'a', 'b', 'b', 'c', 'd', 'x')
const node = fc.constantFrom('a1', 'a2', 'b1', 'b2', 'c1', 'd1')
const user = fc.constantFrom('alice', 'bob@example.com', '+49-30', '49*', '+4930*', 'x*', '')
const version = fc.integer({ min: 0, max: 40 })

const text = (parts: TemplateStringsArray, ...values: fc.Arbitrary<string | number>[]) =>
  fc.tuple(...values).map((chosen) => parts.reduce((sql, part, i) => sql + chosen[i - 1] + part))

/** Right and wrong ones, by function and by hand. */
const statement = fc.oneof(
  text`select tandem.assign(${slot}, ${slot}, '${group}')`,
  text`select tandem.assign(least(${slot}, 16383), 16383, '${group}')`,
  text`select tandem.assign(0, greatest(${slot}, 0), '${group}')`,
  text`select tandem.split(${slot})`,
  text`select tandem.pin('${user}', '${group}')`,
  text`select tandem.unpin('${user}')`,
  text`select tandem.add_group('${group}', '${node}', '127.0.0.1:9')`,
  text`select tandem.drain_group('${group}')`,
  text`select tandem.drain_group('${group}', '{${group},${group}}')`,
  text`select tandem.remove_group('${group}')`,
  text`select tandem.rollback_to(${version})`,
  text`update tandem.sip_group set state = 'active' where name = '${group}'`,
  text`update tandem.slot_range set group_name = '${group}' where ${slot} between first and last`,
  text`update tandem.slot_range set last = ${slot} where ${slot} between first and last`,
  text`update tandem.slot_range set first = ${slot} where last = (select min(last) from tandem.slot_range where last >= ${slot})`,
  text`delete from tandem.slot_range where ${slot} between first and last`,
  text`insert into tandem.slot_range (first, last, group_name) values (${slot}, ${slot}, '${group}')`,
  text`with cut as (delete from tandem.slot_range where ${slot} between first and last returning *)
    insert into tandem.slot_range (first, last, group_name) select first, last, '${group}' from cut`,
  text`delete from tandem.slot_range; insert into tandem.slot_range (first, last, group_name)
    select n * 4096, n * 4096 + 4095, (array['${group}', '${group}'])[1 + n % 2] from generate_series(0, 3) n`,
  text`insert into tandem.sip_group (name) values ('${group}')`,
  text`update tandem.sip_group set name = '${group}' where name = '${group}'`,
  text`delete from tandem.sip_group where name = '${group}'`,
  text`insert into tandem.member (node, group_name, role, sip_address) values ('${node}', '${group}', 'master', '127.0.0.1:8')`,
  text`update tandem.member set role = case role when 'master' then 'slave' else 'master' end where group_name = '${group}'`,
  text`update tandem.member set group_name = '${group}' where node = '${node}'`,
  text`update tandem.member set sip_address = null, srv_name = 'x.example' where node = '${node}'`,
  text`delete from tandem.member where node = '${node}'`,
  text`insert into tandem.pin (kind, value, group_name) values ('prefix', '${slot}', '${group}')`,
  text`delete from tandem.pin where group_name = '${group}'`,
  text`update tandem.domain set hash_by = case hash_by when 'user' then 'user@domain' else 'user' end where name = 'd${version}.example'`,
  text`insert into tandem.domain (name) values ('d${version}.example')`,
  text`delete from tandem.domain where name = 'd${version}.example'`,
  fc.constantFrom(
    'truncate tandem.slot_range',
    'truncate tandem.pin',
    'truncate tandem.sip_group cascade',
    'truncate tandem.member',
  ),
  fc.constantFrom(
    'set constraints all immediate',
    'set constraints all deferred',
    'savepoint s',
    'rollback to s',
    "set local tandem.comment = 'x'",
  ),
)

/** One transaction of a DBA; most are one statement, and most of the others are made to be committed. */
const transaction = fc
  .tuple(
    fc.constantFrom(
      'begin',
      'begin',
      'begin; set constraints all immediate',
      'begin isolation level repeatable read',
    ),
    fc.oneof(
      { weight: 2, arbitrary: fc.array(statement, { minLength: 1, maxLength: 1 }) },
      { weight: 1, arbitrary: fc.array(statement, { minLength: 2, maxLength: 4 }) },
    ),
    fc.constantFrom('commit', 'commit', 'commit', 'rollback'),
  )
  .map(([begin, statements, end]) => [begin, ...statements, end].join('; '))

/** @returns whether it was refused */
async function run(client: pg.Client, sql: string): Promise<boolean> {
  try {
    await client.query(sql)
    return false
  } catch (error) {
    await client.query('rollback')
    if (!(error instanceof pg.DatabaseError)) throw error
    // What nobody meant to allow: a bug in a function of ours, or a server that gave up.
    if (/^(42|XX|53|57|0A000$)/.test(error.code ?? '') && !/truncate/.test(sql)) throw error
    return true
  }
}

interface Look {
  readonly version: number
  readonly map: Snapshot
  readonly kept: Snapshot
}

const LOOK = `select version::int, tandem.map_snapshot() as map,
  (select snapshot from tandem.map_version v where v.version = s.version) as kept from tandem.map_state s`

async function look(client: pg.Client): Promise<Look> {
  return (await client.query<Look>(LOOK)).rows[0] as Look
}

async function open(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  await client.connect()
  return client
}

async function demo(): Promise<{ url: string; client: pg.Client }> {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  const client = await open(url)
  t.teardown(() => client.end())
  return { url, client }
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

const inTime = { seed: SEED, numRuns: 100_000, interruptAfterTimeLimit: SECONDS * 1000, endOnFailure: true }

t.test(
  'no sequence of edits leaves a gap, an overlap or an orphan; a refused one changes nothing',
  async (t) => {
    const { client } = await demo()
    let [made, refused] = [0, 0]
    let before = await look(client)
    await fc.assert(
      fc.asyncProperty(transaction, async (sql) => {
        const isRefused = await run(client, sql)
        const after = await look(client)
        must(same(after.map, after.kept), 'the snapshot of the version is the map')
        must(!isRefused || after.version === before.version, 'a refused edit makes no version')
        if (after.version === before.version)
          must(same(after.map, before.map), 'what changes makes a version')
        else must(after.version === before.version + 1, 'one transaction makes one version')
        const fault = faultOf(after.map)
        must(fault === undefined, `${fault}`)
        if (isRefused) refused++
        else if (after.version > before.version) made++
        before = after
      }),
      inTime,
    )
    t.comment(`${made} versions made, ${refused} edits refused`)
    t.ok(made > 20 && refused > 20, 'both kinds were tried')
    await everyVersionIsWhole(t, client)
    await everyVersionComesBack(t, client)
  },
)

t.test('nor do several sessions at once', async (t) => {
  const { url, client } = await demo()
  const editors = await Promise.all([open(url), open(url), open(url)])
  t.teardown(() => Promise.all(editors.map((editor) => editor.end())))
  const turns = fc.tuple(...editors.map(() => fc.array(transaction, { minLength: 1, maxLength: 4 })))
  await fc.assert(
    fc.asyncProperty(turns, async (scripts) => {
      const before = await look(client)
      const made = await Promise.all(
        scripts.map(async (script, i) => {
          let accepted = 0
          for (const sql of script) if (!(await run(editors[i] as pg.Client, sql))) accepted++
          return accepted
        }),
      )
      const after = await look(client)
      must(same(after.map, after.kept), 'the snapshot of the last version is the map')
      const accepted = made.reduce((sum, n) => sum + n, 0)
      must(after.version - before.version <= accepted, 'one transaction makes at most one version')
      const fault = faultOf(after.map)
      must(fault === undefined, `${fault}`)
    }),
    inTime,
  )
  await everyVersionIsWhole(t, client)
})

async function everyVersionIsWhole(t: Test, client: pg.Client): Promise<void> {
  // The run that the time limit has cut off may have left its transaction open.
  await client.query('rollback')
  const { rows } = await client.query<{ version: number; snapshot: Snapshot }>(
    'select version::int, snapshot from tandem.map_version order by version',
  )
  rows.forEach(({ version, snapshot }, i) => {
    if (version !== i + 1) t.fail(`version ${version} comes after ${i}`)
    const fault = faultOf(snapshot)
    if (fault) t.fail(`version ${version}: ${fault}`)
  })
  t.pass(`${rows.length} versions, without a gap in their numbers, are all whole`)
}

async function everyVersionComesBack(t: Test, client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number; snapshot: Snapshot }>(
    'select version::int, snapshot from tandem.map_version order by random() limit 25',
  )
  for (const { version, snapshot } of rows) {
    await client.query('select tandem.rollback_to($1)', [version])
    const { map } = await look(client)
    if (!same(map, snapshot)) t.same(map, snapshot, `rollback to ${version}`)
  }
  t.pass('rollback restores exactly')
}

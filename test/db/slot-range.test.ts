import pg from 'pg'
import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { loadMap } from '../../db/map-store.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function demo() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  return { url, db, edit: (text: string) => server.sql(url, text) }
}

t.test('what cannot be committed, and what the refusal names', async (t) => {
  const { db, edit } = await demo()
  const before = await loadMap(db)
  const refused: [string, string, RegExp][] = [
    ['a gap', 'update tandem.slot_range set last = 2000 where first = 0', /slots 2001-2047 have no group$/],
    ['a gap of one', 'update tandem.slot_range set first = 1 where first = 0', /slots 0-0 have no group$/],
    [
      'a gap at the end',
      'delete from tandem.slot_range where last = 16383',
      /slots 14336-16383 have no group$/,
    ],
    ['nothing at all', 'truncate tandem.slot_range', /slots 0-16383 have no group$/],
    [
      'an overlap',
      'update tandem.slot_range set last = 4095 where first = 0',
      /slots 2048-4095 are in several ranges \(groups a, b\)$/,
    ],
    [
      'an overlap and a gap',
      'update tandem.slot_range set first = first - 1, last = last - 3 where first = 2048',
      /slots 2047-2047 are in several ranges \(groups a, b\); slots 4093-4095 have no group$/,
    ],
  ]
  for (const [name, text, message] of refused) {
    await t.rejects(
      edit(text),
      { code: '23514', constraint: 'slot_range_covers_every_slot_once', message, hint: /same transaction/ },
      name,
    )
  }
  await t.rejects(edit(`update tandem.slot_range set group_name = 'c' where first = 0`), { code: '23503' })
  await t.rejects(edit(`delete from tandem.sip_group where name = 'a'`), { code: '23503' })
  t.same(await loadMap(db), before, 'a refused edit leaves the map as it was')
})

t.test('a border moves in one transaction, in either order of its two statements', async (t) => {
  const { db, edit } = await demo()
  const left = 'update tandem.slot_range set last = 2099 where first = 0'
  const right = 'update tandem.slot_range set first = 2100 where first = 2048'
  await edit(`begin; ${left}; ${right}; commit`)
  t.match((await loadMap(db)).ranges, [{ first: 0, last: 2099 }, { first: 2100 }])
  await edit(
    'begin; update tandem.slot_range set first = 2000 where first = 2100; update tandem.slot_range set last = 1999 where first = 0; commit',
  )
  t.match((await loadMap(db)).ranges, [{ first: 0, last: 1999 }, { first: 2000 }])
})

t.test('one transaction makes one version, which says who and why', async (t) => {
  const { url, edit } = await demo()
  await edit(`begin; set local tandem.comment = 'b takes over';
    update tandem.slot_range set group_name = 'b' where group_name = 'a';
    update tandem.member set priority = 20 where node = 'a2'; commit`)
  const rows = await server.sql(
    url,
    'select version, changed_by, comment from tandem.map_version order by version',
  )
  t.same(rows, [
    { version: '1', changed_by: 'tandem', comment: 'demo' },
    { version: '2', changed_by: 'tandem', comment: 'b takes over' },
  ])
})

t.test('a refused edit makes no version', async (t) => {
  const { db, edit } = await demo()
  await t.rejects(edit('update tandem.slot_range set last = 2000 where first = 0'))
  t.equal((await loadMap(db)).version, 1)
})

t.test('an edit that changes nothing makes no version, one that empties a table does', async (t) => {
  const { db, edit } = await demo()
  await edit(`update tandem.member set priority = 99 where node = 'nobody'`)
  await edit(`update tandem.member set priority = priority`)
  await edit('update tandem.slot_range set last = last')
  t.equal((await loadMap(db)).version, 1)
  await edit('truncate tandem.pin')
  t.equal((await loadMap(db)).version, 2)
})

t.test('many rows in one statement, and a check made before the end of the transaction', async (t) => {
  const { db, edit } = await demo()
  await edit(`begin; delete from tandem.slot_range;
    insert into tandem.slot_range (first, last, group_name)
      select n * 4, n * 4 + 3, (array['a', 'b'])[1 + n % 2] from generate_series(0, 4095) as n; commit`)
  t.equal((await loadMap(db)).ranges.length, 4096)
  const early = `begin; update tandem.slot_range set group_name = 'a' where first = 4; set constraints all immediate;
    set constraints all deferred; delete from tandem.slot_range where first = 8; commit`
  await t.rejects(edit(early), { message: /slots 8-11 have no group/ })
})

t.test('two editors at once: the second waits, and what is wrong together is refused', async (t) => {
  const { url, db } = await demo()
  const first = new pg.Client(url)
  const second = new pg.Client(url)
  await Promise.all([first.connect(), second.connect()])
  t.teardown(() => Promise.all([first.end(), second.end()]))
  // Each alone closes the gap it makes, by growing a different neighbour.
  await first.query(`begin; delete from tandem.slot_range where first = 2048;
    update tandem.slot_range set last = 4095 where first = 0`)
  const waiting = second.query(`begin; delete from tandem.slot_range where first = 2048;
    update tandem.slot_range set first = 2048 where first = 4096`)
  await first.query('commit')
  await waiting
  await t.rejects(second.query('commit'), { message: /slots 2048-4095 are in several ranges \(groups a\)/ })
  t.match((await loadMap(db)).ranges, [{ first: 0, last: 4095 }, { first: 4096 }])
})

t.test('addresses and roles of members', async (t) => {
  const { edit } = await demo()
  const add = (address: string) =>
    edit(
      `insert into tandem.member (node, group_name, role, sip_address) values ('a9', 'a', 'slave', '${address}')`,
    )
  for (const bad of [
    'localhost:5060',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '10.0.0:5',
    '::1:5060',
    '10.0.0.0/8:1',
  ]) {
    await t.rejects(add(bad), /member_sip_address_check/, bad)
  }
  await t.resolves(add('[2001:db8::1]:5060'))
  await t.rejects(
    edit(`update tandem.member set role = 'master' where node = 'a2'`),
    /member_one_master_per_group/,
  )
  await t.resolves(
    edit(`begin; update tandem.member set role = 'master' where node = 'a2';
      update tandem.member set role = 'slave' where node = 'a1'; commit`),
    'master and slave change places',
  )
})

import pg from 'pg'
import t from 'tap'
import {
  ALL_CONTACTS,
  type BindingRow,
  findBindings,
  REMOVAL_HOLDS_MS,
  readBindingsSince,
  streamBindings,
  writeBindings,
} from '../../db/binding-store.ts'
import { RevCursor, startCursor } from '../../db/rev-cursor.ts'
import { ALL_SLOTS, type Slots } from '../../db/slot-ranges.ts'
import { testServer } from '../support/database.ts'
import { newcomers } from '../support/newcomers.ts'

const server = await testServer(t)
const NOW = Date.now()

const url = await server.createDatabase()
const db = await server.open(url)
const edit = (text: string) => server.sql(url, text)
const find = (aor: string, slot = 1) => findBindings(db, slot, aor)

t.beforeEach(() => edit('truncate tandem.binding'))

const binding = (change: Partial<BindingRow> = {}): BindingRow => ({
  slot: 1,
  aor: 'alice@example.com',
  key: 'sip:alice@192.0.2.1',
  contact: 'sip:alice@192.0.2.1:5062',
  params: ';expires=3600',
  q: 700,
  path: ['<sip:token@192.0.2.9;lr>', '"a, b" <sip:[2001:db8::1]>;x="{1,\\"2\\"}"'],
  callId: 'one',
  cseq: 10,
  instance: null,
  regId: null,
  userAgent: 'phone/1',
  received: 'udp:192.0.2.1:5062',
  expiresAt: NOW + 3_600_123,
  changedAt: NOW,
  deleted: false,
  rev: 0,
  ...change,
})

t.test('what is written comes back as it was', async (t) => {
  const rows = [
    binding(),
    binding({
      key: 'no path',
      path: [],
      q: 0,
      instance: '"<urn:uuid:1>"',
      regId: 2,
      userAgent: null,
      received: null,
    }),
    // An UTF-8 display name as wire text, and text that would end a badly quoted array.
    binding({ key: 'odd', contact: 'sip:J\xc3\xbcrgen@h', params: ';x="a\\"b{}, null"', callId: "it's" }),
  ]
  const { rev, newer, failed } = await writeBindings(db, rows)
  t.ok(rev > 0)
  t.same([newer, failed], [[], []])
  const found = await find('alice@example.com')
  t.same(
    found.sort((a, b) => rows.findIndex((r) => r.key === a.key) - rows.findIndex((r) => r.key === b.key)),
    rows.map((row) => ({ ...row, rev })),
  )
})

t.test('the database reads as UTF-8', async (t) => {
  await writeBindings(db, [binding({ contact: 'sip:J\xc3\xbcrgen@h' })])
  t.same(await edit('select contact from tandem.binding'), [{ contact: 'sip:Jürgen@h' }])
})

t.test('which of two writes is the newer', async (t) => {
  const cases: [string, Partial<BindingRow>, Partial<BindingRow>, 'replaces' | 'loses'][] = [
    ['a later CSeq', {}, { cseq: 11, changedAt: NOW + 1 }, 'replaces'],
    ['a later CSeq by a clock that is behind', {}, { cseq: 11, changedAt: NOW - 5000 }, 'replaces'],
    ['an earlier CSeq by a clock that is ahead', {}, { cseq: 9, changedAt: NOW + 5000 }, 'loses'],
    ['the same again', {}, {}, 'replaces'],
    ['another Call-ID, later', {}, { callId: 'two', cseq: 1, changedAt: NOW + 1 }, 'replaces'],
    ['another Call-ID, earlier', {}, { callId: 'two', cseq: 99, changedAt: NOW - 1 }, 'loses'],
    ['a deletion, later', {}, { cseq: 11, changedAt: NOW + 1, deleted: true }, 'replaces'],
    [
      'a revival of a removed contact, from before',
      { cseq: 12, changedAt: NOW + 9, deleted: true },
      { cseq: 11, changedAt: NOW + 1 },
      'loses',
    ],
    [
      'an older REGISTER of the Call-ID arrives after a removal',
      { deleted: true },
      { cseq: 9, changedAt: NOW + REMOVAL_HOLDS_MS - 1 },
      'loses',
    ],
    [
      'a removed contact comes back with CSeq 1',
      { deleted: true },
      { cseq: 1, changedAt: NOW + REMOVAL_HOLDS_MS },
      'replaces',
    ],
    [
      'an expired contact comes back with CSeq 1',
      { expiresAt: NOW + 1 },
      { cseq: 1, changedAt: NOW + 2 },
      'replaces',
    ],
  ]
  for (const [index, [name, first, second, outcome]] of cases.entries()) {
    const aor = `user${index}@example.com`
    const stored = binding({ aor, ...first })
    const written = binding({ aor, ...second, userAgent: 'second' })
    const { rev } = await writeBindings(db, [stored])
    const result = await writeBindings(db, [written])
    if (outcome === 'replaces') {
      t.same([result.newer, await find(aor)], [[], [{ ...written, rev: result.rev }]], name)
    } else {
      t.same(result, { rev: 0, newer: [{ ...stored, rev }], failed: [] }, name)
      t.same(await find(aor), [{ ...stored, rev }])
    }
  }
})

t.test('the removal of all contacts also removes what its member had not heard of', async (t) => {
  const everything = (change: Partial<BindingRow>) =>
    binding({ key: ALL_CONTACTS, contact: '', deleted: true, expiresAt: NOW, ...change })
  await writeBindings(db, [
    binding({ key: 'older' }),
    binding({ key: 'other Call-ID, older', callId: 'two', cseq: 99, changedAt: NOW + 4 }),
    binding({ key: 'other Call-ID, newer', callId: 'two', cseq: 1, changedAt: NOW + 6 }),
    binding({ key: 'later CSeq by a clock that is behind', cseq: 12, changedAt: NOW - 9 }),
    binding({ key: 'of somebody else', aor: 'bob@example.com' }),
  ])
  const { rev } = await writeBindings(db, [everything({ cseq: 11, changedAt: NOW + 5 })])
  const live = async () =>
    (await edit('select key from tandem.binding where not deleted order by key')).map(
      (row) => Object.values(row)[0],
    )
  const left = ['later CSeq by a clock that is behind', 'of somebody else', 'other Call-ID, newer']
  t.strictSame(await live(), left)
  const removed = (await find('alice@example.com')).find(({ key }) => key === 'older')
  t.match(removed, { deleted: true, cseq: 11, changedAt: NOW + 5 })
  t.ok(removed && removed.rev > rev, 'and everybody hears of it')

  const late = [binding({ key: 'spooled before', cseq: 10 }), binding({ key: 'spooled after', cseq: 12 })]
  await writeBindings(db, late)
  t.strictSame(await live(), [...left, 'spooled after', 'spooled before'].sort())
  await writeBindings(db, late, { late: true })
  t.strictSame(await live(), [...left, 'spooled after'].sort())
})

t.test('in a batch each row stands for itself, and of two with one key the last counts', async (t) => {
  const first = await writeBindings(db, [binding({ key: 'kept', cseq: 50 })])
  const { rev, newer } = await writeBindings(db, [
    binding({ key: 'kept', cseq: 5 }),
    binding({ key: 'twice', contact: 'sip:first' }),
    binding({ key: 'twice', contact: 'sip:last', cseq: 11 }),
  ])
  t.match(newer, [{ key: 'kept', cseq: 50, rev: first.rev }])
  t.match(
    (await find('alice@example.com')).find(({ key }) => key === 'twice'),
    { contact: 'sip:last', rev },
  )
  t.same(await writeBindings(db, []), { rev: 0, newer: [], failed: [] })
})

t.test('a row that cannot be stored costs the others nothing', async (t) => {
  const incompressible = Array.from({ length: 3000 }, () =>
    String.fromCharCode(33 + Math.random() * 90),
  ).join('')
  const rows = Array.from({ length: 20 }, (_, i) => binding({ key: `k${i}` }))
  rows[7] = binding({ key: incompressible })
  rows[13] = binding({ key: 'k13', q: 1001 })
  const { failed } = await writeBindings(db, rows)
  t.same(
    failed.map(({ row }) => row),
    [rows[7], rows[13]],
  )
  t.equal((await find('alice@example.com')).length, 18)
  t.same(
    (await writeBindings(db, [binding({ key: 'nul\0', contact: 'sip:\0' })])).failed,
    [],
    'a NUL is replaced',
  )
})

t.test(
  '20,000 rows come in bounded batches, only those of the slots asked for, only the living',
  async (t) => {
    const rows = Array.from({ length: 20_000 }, (_, i) =>
      binding({ slot: i % 16384, aor: `u${i}@example.com`, path: [], deleted: i % 100 === 0 }),
    )
    for (let i = 0; i < rows.length; i += 2_000) await writeBindings(db, rows.slice(i, i + 2_000))
    await writeBindings(db, [binding({ slot: 2, aor: 'over@example.com', expiresAt: NOW - 1 })])
    const wanted = [
      { first: 0, last: 1023 },
      { first: 3000, last: 9000 },
    ]
    const seen = new Set<string>()
    for await (const batch of streamBindings(db, wanted, 1_000)) {
      t.ok(batch.length <= 1_000)
      for (const row of batch) seen.add(row.aor)
    }
    const expected = rows.filter(
      ({ slot, deleted }) => !deleted && (slot <= 1023 || (slot >= 3000 && slot <= 9000)),
    )
    t.same(seen, new Set(expected.map(({ aor }) => aor)))
    for await (const batch of streamBindings(db, ALL_SLOTS, 100)) {
      t.equal(batch.length, 100)
      break
    }
    t.equal((await db.query('select')).length, 1, 'a stream that was left early gives its connection back')
    for await (const batch of streamBindings(db, [])) t.fail(`no slots, yet ${batch.length} rows`)
  },
)

t.test('a refresh brings what changed, also by hand, only of its slots', async (t) => {
  const cursor = await startCursor(db)
  const onlyNew = newcomers<BindingRow>()
  const changes = async (slots: readonly Slots[] = [{ first: 0, last: 99 }]) =>
    onlyNew(await readBindingsSince(db, cursor, slots))
  const keys = async () => (await changes()).map(({ key }) => key).sort()
  await writeBindings(db, [
    binding({ key: 'a' }),
    binding({ key: 'b' }),
    binding({ key: 'other', slot: 100 }),
  ])
  t.same(await keys(), ['a', 'b'])
  t.same(await keys(), [])
  await edit(`update tandem.binding set contact = 'sip:by-hand@h' where key = 'a'`)
  t.same(await keys(), ['a'])
  await edit(`delete from tandem.binding where key = 'b'`)
  t.match(await changes(ALL_SLOTS), [{ key: 'b', deleted: true, callId: 'one', cseq: 10 }])
  await edit(`insert into tandem.binding (slot, aor, key, contact, expires_at)
    values (5, 'bob@example.com', 'c', 'sip:static@h', now() + interval '1 year')`)
  t.same(await keys(), ['c'])
})

t.test('a transaction that commits late is not missed', async (t) => {
  const late = new pg.Client(url)
  await late.connect()
  t.teardown(() => late.end())
  await writeBindings(db, [binding({ key: 'slow' }), binding({ key: 'quick' })])
  const cursor = new RevCursor()
  const onlyNew = newcomers<BindingRow>()
  const keys = async () => onlyNew(await readBindingsSince(db, cursor, ALL_SLOTS)).map(({ key }) => key)
  await keys()
  await late.query(`begin; savepoint s; update tandem.binding set contact = 'sip:late@h' where key = 'slow'`)
  for (let cseq = 20; cseq < 25; cseq++) {
    await writeBindings(db, [binding({ key: 'quick', cseq })])
    t.same(await keys(), ['quick'])
  }
  t.same(await keys(), [])
  await late.query('commit')
  t.same(await keys(), ['slow'], 'goes back behind what it has read')
  t.same(await keys(), [])
})

t.test('a registration that is refreshed stays on its page', async (t) => {
  const db = await server.open(await server.createDatabase(), { poolSize: 1 })
  const [version] = await db.query<{ number: number }>(
    `select current_setting('server_version_num')::int as number`,
  )
  if ((version?.number ?? 0) < 160000) {
    t.pass('before PostgreSQL 16 the BRIN index prevents it')
    return
  }
  const rows = Array.from({ length: 250 }, (_, i) => binding({ aor: `u${i}@example.com`, path: [] }))
  const write = (cseq: number) =>
    writeBindings(
      db,
      rows.map((row) => ({ ...row, cseq })),
    )
  const counted = async () => {
    await db.query('select pg_stat_force_next_flush()')
    const [stat] = await db.query<{ updates: number; hot: number }>(
      `select coalesce(sum(n_tup_upd), 0)::int as updates, coalesce(sum(n_tup_hot_upd), 0)::int as hot
       from pg_stat_user_tables where relname like 'binding_%'`,
    )
    return stat ?? { updates: 0, hot: 0 }
  }
  await write(0)
  let [cseq, share] = [0, 0]
  // As long as a transaction of another test on this server is open, PostgreSQL keeps the room of the old rows.
  for (const until = Date.now() + 20_000; share <= 0.5 && Date.now() < until; ) {
    const before = await counted()
    for (let i = 0; i < 4; i++) await write(++cseq)
    const after = await counted()
    t.equal(after.updates - before.updates, 1000)
    share = (after.hot - before.hot) / 1000
  }
  t.ok(share > 0.5, `${share} of the updates are HOT`)
})

t.test('nor is the newest transaction of all, which no snapshot lists', async (t) => {
  const late = new pg.Client(url)
  await late.connect()
  t.teardown(() => late.end())
  await writeBindings(db, [binding({ key: 'slow' })])
  const cursor = await startCursor(db)
  const keys = async () => (await readBindingsSince(db, cursor, ALL_SLOTS)).map(({ key }) => key)
  await keys()
  await late.query(`begin; update tandem.binding set contact = 'sip:late@h' where key = 'slow'`)
  t.same(await keys(), [])
  t.same(await keys(), [])
  await late.query('commit')
  t.same(await keys(), ['slow'])
  t.same(await keys(), [])
})

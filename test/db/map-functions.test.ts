import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

/** Groups a and b with a half of the slots each. */
async function halves() {
  const url = await server.createDatabase()
  await seedDemo(await server.open(url), ADDRESSES)
  const sql = <Row extends object>(text: string, values?: unknown[]) => server.sql<Row>(url, text, values)
  await sql(`begin; delete from tandem.slot_range;
    insert into tandem.slot_range (first, last, group_name) values (0, 8191, 'a'), (8192, 16383, 'b'); commit`)
  const ranges = async () =>
    (
      await sql<{ text: string }>(
        `select string_agg(first || '-' || last || ' ' || group_name, ', ' order by first) as text from tandem.slot_range`,
      )
    )[0]?.text
  const one = async <Value>(expression: string) =>
    (await sql<{ value: Value }>(`select ${expression} as value`))[0]?.value
  return { url, sql, ranges, one }
}

t.test('assign splits and merges ranges', async (t) => {
  const { sql, ranges, one } = await halves()
  t.equal(await one(`tandem.assign(1000, 1999, 'b')`), '3')
  t.equal(await ranges(), '0-999 a, 1000-1999 b, 2000-8191 a, 8192-16383 b')
  await sql(`select tandem.assign(2000, 8191, 'b')`)
  t.equal(await ranges(), '0-999 a, 1000-16383 b', 'grows both neighbours')
  await sql(`select tandem.assign(16383, 16383, 'a')`)
  t.equal(await ranges(), '0-999 a, 1000-16382 b, 16383-16383 a')
  t.equal(await one(`tandem.assign(2000, 3000, 'b')`), '5', 'nothing to do: no version')
  await sql(`update tandem.slot_range set description = 'the old block' where first = 0`)
  await sql(`select tandem.assign(1000, 1999, 'a')`)
  t.equal(await ranges(), '0-999 a, 1000-1999 a, 2000-16382 b, 16383-16383 a', 'what is described stays')
  await sql(`select tandem.assign(0, 16383, 'a')`)
  t.equal(await ranges(), '0-16383 a')
})

t.test('split moves nobody, and its border stays until somebody assigns over it', async (t) => {
  const { sql, ranges } = await halves()
  await sql('select tandem.split(100)')
  await sql('select tandem.split(100)')
  await sql('select tandem.split(0)')
  t.equal(await ranges(), '0-99 a, 100-8191 a, 8192-16383 b')
  await sql(`select tandem.assign(5000, 5999, 'b')`)
  t.equal(await ranges(), '0-99 a, 100-4999 a, 5000-5999 b, 6000-8191 a, 8192-16383 b')
})

t.test('pins: kept in canonical form, the exact user first, then the longest prefix', async (t) => {
  const { sql } = await halves()
  await sql(`insert into tandem.domain (name, hash_by) values ('tenant.example', 'user@domain')`)
  await sql(`select tandem.pin('+49-30*', 'a'), tandem.pin('+49-30-11*', 'b'), tandem.pin('+49301122', 'a'),
    tandem.pin('sip:%61lice@example.com', 'a'), tandem.pin('100@tenant.example', 'a')`)
  await sql(
    `insert into tandem.pin (kind, value, group_name) values ('prefix', '0800 (1)', 'a'), ('user', 'Bob;x', 'b')`,
  )
  const rows = await sql<{ pin: string }>(
    `select kind || ' ' || value || ' ' || group_name as pin from tandem.pin order by 1`,
  )
  t.same(
    rows.map(({ pin }) => pin),
    [
      'prefix +4930 a',
      'prefix +493011 b',
      'prefix 08001 a',
      'user +49301122 a',
      'user 100@tenant.example a',
      'user Bob b',
      'user alice a',
    ],
  )
  const owner = async (aor: string) =>
    Object.values((await sql('select group_name, why, rule from tandem.owner_of($1)', [aor]))[0] ?? {}).join(
      ' ',
    )
  t.equal(await owner('+4930 9'), 'a prefix +4930*')
  t.equal(await owner('sip:+49-30-119@example.com'), 'b prefix +493011*')
  t.equal(await owner('+49301122'), 'a pin +49301122')
  t.equal(await owner('+493011223'), 'b prefix +493011*')
  t.equal(await owner('alice@example.com'), 'a pin alice')
  t.equal(await owner('100@tenant.example'), 'a pin 100@tenant.example')
  t.equal(await owner('100@example.com'), 'a range 0-8191')
  t.equal(await owner('bob'), 'b range 8192-16383')
  await sql(`select tandem.unpin('+4930*'), tandem.unpin('alice@example.com')`)
  t.equal(await owner('alice'), 'b range 8192-16383')
  await t.rejects(sql(`select tandem.unpin('alice')`), { code: 'P0002', message: 'alice is not pinned' })
  for (const bad of ['abc*', '*', '+*', '49a*']) {
    await t.rejects(
      sql('select tandem.pin($1, $2)', [bad, 'a']),
      { code: '23514', message: /is no prefix/ },
      bad,
    )
  }
  await t.rejects(sql(`select tandem.pin('', 'a')`), { code: '23514' })
})

t.test('a group comes, is drained in equal parts, and goes', async (t) => {
  const { sql, ranges } = await halves()
  await sql(`select tandem.add_group('c', 'c1', '127.0.0.1:5', 'c2', '127.0.0.1:6')`)
  t.match(await sql(`select node, role from tandem.member where group_name = 'c' order by node`), [
    { node: 'c1', role: 'master' },
    { node: 'c2', role: 'slave' },
  ])
  await sql(`select tandem.pin('alice', 'b'), tandem.pin('+49*', 'b')`)
  await sql(`select tandem.drain_group('b')`)
  t.equal(await ranges(), '0-12287 a, 12288-16383 c')
  t.same(await sql('select value, group_name from tandem.pin order by value'), [
    { value: '+49', group_name: 'a' },
    { value: 'alice', group_name: 'c' },
  ])
  t.same(await sql(`select state from tandem.sip_group where name = 'b'`), [{ state: 'draining' }])
  for (const edit of [`assign(0, 0, 'b')`, `pin('x', 'b')`, `drain_group('a', '{b}')`]) {
    await t.rejects(sql(`select tandem.${edit}`), {
      message: /group b is draining/,
      hint: /state = 'active'/,
    })
  }
  await sql(`select tandem.remove_group('b')`)
  t.same(await sql('select name from tandem.sip_group order by name'), [{ name: 'a' }, { name: 'c' }])
  t.same(await sql('select distinct group_name from tandem.member order by 1'), [
    { group_name: 'a' },
    { group_name: 'c' },
  ])
  await t.rejects(sql(`select tandem.drain_group('a', '{}')`), { message: /nobody to drain into/ })
  await t.rejects(sql(`select tandem.drain_group('a', '{a}')`), { message: /nobody to drain into/ })
  await t.rejects(sql(`select tandem.drain_group('x')`), {
    message: 'there is no group x',
    hint: 'Groups: a, c',
  })
})

t.test('what is refused, and in which words', async (t) => {
  const { sql, one } = await halves()
  const before = await one('tandem.map_snapshot()')
  const refused: [statement: string, message: RegExp][] = [
    [`select tandem.assign(5, 3, 'a')`, /^slots 5-3 are no range within 0-16383$/],
    [`select tandem.assign(0, 16384, 'a')`, /^slots 0-16384 are no range/],
    [`select tandem.assign(0, 99, 'x')`, /^slots 0-99 are given to group x, which does not exist$/],
    [`select tandem.split(16384)`, /no range/],
    [`select tandem.pin('alice', 'x')`, /^user alice is given to group x, which does not exist$/],
    [`update tandem.slot_range set group_name = 'x' where first = 0`, /^slots 0-8191 are given to group x/],
    [`select tandem.add_group('a', 'a3', '127.0.0.1:9')`, /^there is a group a already$/],
    [`select tandem.add_group('d', 'd1', 'localhost:5060')`, /member_sip_address_check/],
    [`select tandem.add_group('d', 'a1', '127.0.0.1:9')`, /member_pkey/],
    [`select tandem.remove_group('a')`, /^group a cannot be removed: it owns slots 0-8191$/],
    [
      `delete from tandem.sip_group where name = 'b'`,
      /^group b cannot be removed: it owns slots 8192-16383$/,
    ],
    [`delete from tandem.member where node = 'a1'`, /^group a owns slots 0-8191, but has no master$/],
    [
      'delete from tandem.member',
      /^group a owns slots 0-8191, but has no master; group b owns slots 8192-16383, but has no master$/,
    ],
    [
      `update tandem.member set sip_address = null, srv_name = 'a1.example.net' where node = 'a1'`,
      /but its master a1 has only an SRV name/,
    ],
    [`update tandem.member set srv_name = 'Not A Name' where node = 'a2'`, /member_srv_name_check/],
    [`update tandem.member set sip_address = null where node = 'a2'`, /member_is_somewhere/],
    [`update tandem.sip_group set database_urls = '{mysql://x}'`, /sip_group_database_urls_check/],
    [`update tandem.sip_group set state = 'gone'`, /sip_group_state_check/],
    [
      `update tandem.domain set hash_by = 'user@domain'`,
      /^domain example.com has users or aliases, so hash_by stays user$/,
    ],
    [`update tandem.domain set hash_by = 'luck'`, /hash_by/],
    ['select tandem.rollback_to(99)', /^there is no version 99 of the map$/],
    ['truncate tandem.slot_range', /slots 0-16383 have no group/],
    [
      `begin; set constraints all immediate; delete from tandem.slot_range where first = 0; commit`,
      /slots 0-8191 have no group/,
    ],
  ]
  for (const [statement, message] of refused) await t.rejects(sql(statement), { message }, statement)
  t.same(await one('tandem.map_snapshot()'), before)
  t.equal(await one('tandem.map_version_now()'), '2')
  await t.resolves(
    sql(`update tandem.member set sip_address = null, srv_name = 'a2.example.net' where node = 'a2'`),
  )
  await t.resolves(sql(`update tandem.sip_group set database_urls = '{postgres://x/y,postgresql://z}'`))
})

t.test('versions: by hand or by function, who, why, what, and the whole map', async (t) => {
  const { sql, one } = await halves()
  await sql(`begin; select tandem.assign(0, 99, 'b', 'by function');
    update tandem.member set priority = 20 where node = 'a2'; commit`)
  await sql(
    `begin; update tandem.slot_range set description = 'x' where first = 0; set local tandem.comment = 'late'; commit`,
  )
  await sql(`begin; savepoint s; update tandem.sip_group set description = 'x'; rollback to s; commit`)
  await sql(`update tandem.sip_group set database_urls = '{postgres://u:hush@h/d}' where name = 'a'`)
  const rows = await sql<{ version: string; comment: string | null; changes: string }>(
    'select version, comment, changes from tandem.map_history',
  )
  t.match(rows, [
    {
      version: '5',
      comment: null,
      changes: /^group a: database_urls null → database_urls \["postgres:\/\/u:\*\*\*@h\/d"\]$/,
    },
    { version: '4', comment: 'late' },
    {
      version: '3',
      comment: 'by function',
      changes: 'slots 0-99: a → b; member a2: priority 10 → priority 20',
    },
    { version: '2', comment: null, changes: /^slots / },
    { version: '1', comment: 'demo' },
  ])
  t.ok(await one(`(select snapshot from tandem.map_version where version = 5) = tandem.map_snapshot()`))
  t.ok(
    await one(`(select count(snapshot) = 5 and bool_and(changed_by = session_user) from tandem.map_version)`),
  )
})

t.test('rollback brings everything back, as a new version', async (t) => {
  const { sql, one } = await halves()
  await sql(`select tandem.pin('alice', 'a')`)
  const before = await one('tandem.map_snapshot()')
  await sql(`begin; select tandem.add_group('c', 'c1', '127.0.0.1:5'); select tandem.drain_group('a');
    select tandem.remove_group('a'); select tandem.unpin('alice'); select tandem.pin('1*', 'c');
    insert into tandem.domain (name) values ('example.net'); update tandem.domain set realm = 'r' where name = 'example.com'; commit`)
  t.equal(await one('tandem.rollback_to(3)'), '5')
  t.same(await one('tandem.map_snapshot()'), before)
  t.match((await sql('select comment from tandem.map_history'))[0], { comment: 'rollback to version 3' })
  t.equal(await one('tandem.rollback_to(3)'), '5', 'nothing to do: no version')
  await sql(`update tandem.sip_group set name = 'z' where name = 'a'`)
  t.equal(
    await one(`(select string_agg(distinct group_name, ',') from tandem.slot_range)`),
    'b,z',
    'renamed everywhere',
  )
  await sql('select tandem.rollback_to(3)')
  t.same(await one('tandem.map_snapshot()'), before)
  await sql(`insert into tandem.domain (name) values ('example.net');
    insert into tandem.subscriber (domain, username) values ('example.net', 'x')`)
  await t.rejects(sql('select tandem.rollback_to(3)'), {
    message: 'version 3 of the map does not have domain example.net, which has users',
  })
  await t.rejects(sql('select tandem.rollback_to(0)'), { message: /has users/ }, 'no way back to no map')
})

t.test('overview and diff count subscribers where they live, pins included', async (t) => {
  const { sql } = await halves()
  await sql(`insert into tandem.domain (name, hash_by) values ('tenant.example', 'user@domain');
    insert into tandem.subscriber (domain, username)
      select d, u from unnest(array['example.com', 'tenant.example']) d,
        (select '+49301' || lpad(n::text, 3, '0') from generate_series(0, 999) n union all select 'user' || n from generate_series(1, 500) n) x (u);
    insert into tandem.binding (slot, aor, key, contact, expires_at, deleted)
      select s.slot, username || '@' || domain, k, 'sip:x', now() + i, k = 'gone' from tandem.subscriber s,
        (values ('one', '1 hour'::interval), ('old', '-1 hour'), ('gone', '1 hour')) v (k, i)`)
  await sql(`select tandem.pin('+49301*', 'a'), tandem.pin('+493015*', 'b'), tandem.pin('+493015551', 'a'),
    tandem.pin('user7', 'a'), tandem.pin('user8', 'b'), tandem.pin('user9@tenant.example', 'b'), tandem.pin('nobody', 'a')`)
  await sql(`select tandem.assign(3000, 8191, 'b')`)
  await sql(`begin; select tandem.unpin('+493015*'); select tandem.pin('+4930150*', 'a'); select tandem.unpin('user7');
    select tandem.pin('user8', 'a'); select tandem.assign(100, 4999, 'a'); select tandem.assign(0, 99, 'b'); commit`)

  // The slow and sure way: each user by itself.
  const byUser = await sql<{ group_name: string; subscribers: string; bindings: string }>(
    `select o.group_name, count(*) as subscribers, count(*) as bindings
     from tandem.subscriber s, tandem.owner_of(s.username || '@' || s.domain) o group by 1 order by 1`,
  )
  t.match(await sql('select group_name, subscribers, bindings from tandem.overview'), byUser)
  t.match(await sql('select group_name, slots, pins, subscribers_percent from tandem.overview'), [
    { group_name: 'a', slots: '4900', pins: '5' },
    { group_name: 'b', slots: '11484', pins: '1' },
  ])

  const versions = await sql<{ version: string; snapshot: Snapshot }>(
    'select version, snapshot from tandem.map_version order by version',
  )
  const users = await sql<User>('select username, domain, slot from tandem.subscriber')
  const last = versions.at(-1)?.snapshot
  if (!last) throw new Error('no version')
  for (const { version, snapshot } of versions) {
    const moved = users.filter((user) => ownerIn(snapshot, user) !== ownerIn(last, user)).length
    const counted = await sql<{ sum: string }>(
      `select coalesce(sum(subscribers), 0) as sum from tandem.diff(${version})`,
    )
    t.equal(Number(counted[0]?.sum), moved, `${moved} subscribers moved since version ${version}`)
  }
})

interface User {
  readonly username: string
  readonly domain: string
  readonly slot: number
}

interface Snapshot {
  readonly domain: { name: string; hash_by: string }[]
  readonly slot_range: { first: number; last: number; group_name: string }[]
  readonly pin: { kind: string; value: string; group_name: string }[]
}

function ownerIn({ domain, pin, slot_range }: Snapshot, user: User): string | undefined {
  const byDomain = domain.find(({ name }) => name === user.domain)?.hash_by === 'user@domain'
  const key = byDomain ? `${user.username}@${user.domain}` : user.username
  const exact = pin.find(({ kind, value }) => kind === 'user' && value === key)
  const prefixes = pin.filter(({ kind, value }) => kind === 'prefix' && key.startsWith(value))
  const longest = prefixes.sort((a, b) => b.value.length - a.value.length)[0]
  const range = slot_range.find(({ first, last }) => first <= user.slot && user.slot <= last)
  return (exact ?? longest ?? range)?.group_name
}

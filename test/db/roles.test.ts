import pg from 'pg'
import t from 'tap'
import { readAliasesSince, streamAliases } from '../../db/alias-store.ts'
import {
  type BindingRow,
  findBindings,
  readBindingsSince,
  streamBindings,
  writeBindings,
} from '../../db/binding-store.ts'
import { loadClusterKeys } from '../../db/cluster-key-store.ts'
import { seedDemo } from '../../db/demo.ts'
import { assignSlots, overview, pin, rollbackTo } from '../../db/map-admin.ts'
import { loadMap, readMapVersion } from '../../db/map-store.ts'
import { migrate } from '../../db/migrate.ts'
import { heartbeat, type NodeReport, registerNode } from '../../db/node-store.ts'
import { purge } from '../../db/purge-store.ts'
import { startCursor } from '../../db/rev-cursor.ts'
import { ALL_SLOTS } from '../../db/slot-ranges.ts'
import {
  addSubscriber,
  findSubscriber,
  readSubscribersSince,
  streamSubscribers,
} from '../../db/subscriber-store.ts'
import { silent, testServer } from '../support/database.ts'

const logins: string[] = []
// Registered first, so it runs last: a role that owns a database cannot go before it.
t.teardown(async () => {
  for (const login of logins)
    await server.sql(server.adminUrl, `drop role if exists ${login}`).catch(() => {})
})
const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function login(kind: string, options: string): Promise<string> {
  const name = `test_${kind}_${process.pid}`
  await server.sql(server.adminUrl, `create role ${name} login password 'secret' ${options}`)
  logins.push(name)
  return name
}

const as = (url: string, name: string) => url.replace(/\/\/[^@]+@/, `//${name}:secret@`)

async function demo() {
  const url = await server.createDatabase()
  await seedDemo(await server.open(url), ADDRESSES)
  return url
}

const REPORT: NodeReport = {
  name: 'a1',
  stage: 'stage2',
  addresses: { listen: '127.0.0.1:5071' },
  version: '1',
  mapVersion: 1,
  state: 'serving',
  reason: null,
}

const BINDING: BindingRow = {
  slot: 15431,
  aor: 'alice@example.com',
  key: 'k',
  contact: 'sip:alice@192.0.2.1',
  params: '',
  q: 1000,
  path: [],
  callId: 'c',
  cseq: 1,
  instance: null,
  regId: null,
  userAgent: null,
  received: null,
  expiresAt: Date.now() + 60_000,
  changedAt: Date.now(),
  deleted: false,
  rev: 0,
}

t.test('a login in tandem_node can do all that nodes do', async (t) => {
  const url = await demo()
  const nodeUrl = as(url, await login('node', 'in role tandem_node'))
  await server.sql(
    url,
    `insert into tandem.alias (domain, username, target_domain, target_username)
    values ('example.com', 'sales', 'example.com', 'bob')`,
  )
  const db = await server.open(nodeUrl)
  t.same((await migrate(nodeUrl, silent)).applied, [], 'sees that the schema is up to date')
  t.equal((await loadMap(db)).version, 1)
  t.equal((await readMapVersion(db)).version, 1)
  t.equal((await loadClusterKeys(db)).current.length, 32)
  await registerNode(db, REPORT)
  t.equal(await heartbeat(db, { ...REPORT, state: 'draining' }), true)
  const cursor = await startCursor(db)
  for await (const rows of streamSubscribers(db, ALL_SLOTS)) t.equal(rows.length, 4)
  for await (const rows of streamAliases(db, ALL_SLOTS)) t.match(rows, [{ user: 'sales', targetUser: 'bob' }])
  t.same(await readSubscribersSince(db, cursor, ALL_SLOTS), [])
  t.same(await readAliasesSince(db, cursor, ALL_SLOTS), [])
  t.ok((await findSubscriber(db, 'example.com', 'alice'))?.ha1Md5)
  t.match(await writeBindings(db, [BINDING]), { newer: [], failed: [] })
  t.match(await writeBindings(db, [{ ...BINDING, cseq: 2 }]), { newer: [], failed: [] })
  t.equal((await findBindings(db, 15431, BINDING.aor)).length, 1)
  t.equal((await readBindingsSince(db, cursor, ALL_SLOTS)).length, 1)
  for await (const rows of streamBindings(db, ALL_SLOTS)) t.equal(rows.length, 1)
  t.equal(await purge(db, { node: 'a1', beforeMs: Date.now() + 120_000, everyMs: 0 }), 1)
  t.same(
    await server.sql(
      nodeUrl,
      `select tandem.slot_of('alice') as slot, (tandem.owner_of('alice')).group_name`,
    ),
    [{ slot: 15431, group_name: 'b' }],
  )
  await t.resolves(server.sql(nodeUrl, 'listen tandem_map'))
})

t.test('and nothing else', async (t) => {
  const url = await demo()
  const nodeUrl = as(url, await login('node2', 'in role tandem_node'))
  const statements = [
    'update tandem.slot_range set description = description',
    `insert into tandem.domain (name) values ('x')`,
    `update tandem.member set priority = 1`,
    'delete from tandem.pin',
    `insert into tandem.pin (kind, value, group_name) values ('user', 'x', 'a')`,
    `update tandem.sip_group set state = 'draining'`,
    'update tandem.map_state set version = 99',
    'select from tandem.map_state for update',
    'select * from tandem.map_version',
    'update tandem.subscriber set enabled = false',
    `insert into tandem.subscriber (domain, username) values ('example.com', 'eve')`,
    'delete from tandem.subscriber',
    `update tandem.subscriber_removed set slot = 1`,
    'delete from tandem.alias',
    'delete from tandem.node',
    `update tandem.cluster_key set created_at = now()`,
    'select tandem.rotate_cluster_key()',
    'select tandem.cluster_key_ages()',
    `select tandem.assign(0, 1, 'b')`,
    `select tandem.edit_map('x')`,
    'select tandem.rollback_to(1)',
    'select * from tandem.overview',
    `select setval('tandem.rev', 1)`,
    'truncate tandem.binding',
    'truncate tandem.node',
    'create table tandem.mine (x int)',
    'drop table tandem.pin',
    'alter table tandem.slot_range disable trigger all',
    'set role tandem_owner',
    'set role tandem_dba',
    'select tandem.set_up_roles()',
  ]
  for (const text of statements) await t.rejects(server.sql(nodeUrl, text), { code: '42501' }, text)
})

t.test('a login in tandem_dba edits map and users, and cannot forge the history', async (t) => {
  const url = await demo()
  const name = await login('dba', 'in role tandem_dba')
  const dbaUrl = as(url, name)
  const db = await server.open(dbaUrl)
  t.match(await assignSlots(db, { first: 0, last: 9, group: 'b' }, { comment: 'mine' }), { version: 2 })
  await pin(db, 'alice', 'a')
  await rollbackTo(db, 1)
  t.equal((await overview(db)).length, 2)
  await addSubscriber(db, 'example.com', 'eve', { ha1Md5: null, ha1Sha256: null, ha1Sha512256: null })
  const sql = (text: string) => server.sql(dbaUrl, text)
  await sql(`update tandem.subscriber set enabled = false where username = 'eve';
    delete from tandem.subscriber where username = 'eve';
    insert into tandem.domain (name) values ('example.net'); update tandem.domain set realm = 'r' where name = 'example.net';
    insert into tandem.alias (domain, username, target_domain, target_username) values ('example.net', 'x', 'example.com', 'bob');
    update tandem.slot_range set description = 'mine' where first = 0; delete from tandem.node;
    select tandem.rotate_cluster_key(true)`)
  t.match(await sql('select changed_by, comment from tandem.map_history where version = 2'), [
    { changed_by: name, comment: 'mine' },
  ])
  for (const text of [
    'update tandem.map_version set changed_by = $$somebody$$',
    'delete from tandem.map_version',
    'update tandem.map_state set version = 1',
    'select secret from tandem.cluster_key',
    'truncate tandem.subscriber',
    'alter table tandem.slot_range disable trigger all',
    'set session_replication_role = replica',
    'set role tandem_owner',
  ]) {
    await t.rejects(sql(text), { code: '42501' }, text)
  }
})

t.test('migrating without a superuser', async (t) => {
  const maker = await login('maker', 'createrole')
  const url = await server.createDatabase({ migrated: false })
  await server.sql(url, `alter database ${url.split('/').at(-1)} owner to ${maker}`)
  // The roles of this server are there already, and a maker of other roles may not give itself one of them.
  const client = new pg.Client(as(url, maker))
  const notices: string[] = []
  client.on('notice', ({ message }) => notices.push(message ?? ''))
  await migrate(as(url, maker), silent)
  await client.connect()
  t.teardown(() => client.end())
  const owner = `select pg_get_userbyid(nspowner) as owner from pg_namespace where nspname = 'tandem'`
  const { rows: before } = await client.query<{ owner: string }>(owner)
  if (before[0]?.owner === maker) {
    await client.query('select tandem.set_up_roles()')
    t.match(notices, [/^schema tandem stays with its present owners: /])
    await server.sql(url, `grant tandem_owner to ${maker}`)
    await client.query('select tandem.set_up_roles()')
  }
  const { rows: after } = await client.query<{ owner: string; strangers: string }>(
    `select pg_get_userbyid(nspowner) as owner,
      (select count(*) from pg_class where relnamespace = n.oid and relkind in ('r', 'p', 'v', 'S') and relowner <> nspowner)
      + (select count(*) from pg_proc where pronamespace = n.oid and proowner <> nspowner) as strangers
     from pg_namespace n where nspname = 'tandem'`,
  )
  t.same(after, [{ owner: 'tandem_owner', strangers: '0' }])
  await t.resolves(client.query('alter table tandem.pin add more text'), 'the next migration can be made')
  await seedDemo(await server.open(as(url, maker)), ADDRESSES)
  const node = as(url, await login('node3', 'in role tandem_node'))
  t.equal((await loadMap(await server.open(node))).version, 1)
})

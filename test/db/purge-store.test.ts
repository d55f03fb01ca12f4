import t from 'tap'
import { type BindingRow, findBindings, writeBindings } from '../../db/binding-store.ts'
import { purge, purgeBindings } from '../../db/purge-store.ts'
import { testDatabase } from '../support/database.ts'

const { db, url, sql } = await testDatabase(t)
const NOW = Date.now()
const HOUR = 3_600_000

const binding = (change: Partial<BindingRow>): BindingRow => ({
  slot: 1,
  aor: 'alice@example.com',
  key: 'sip:alice@192.0.2.1',
  contact: 'sip:alice@192.0.2.1:5062',
  params: '',
  q: 1000,
  path: [],
  callId: 'one',
  cseq: 10,
  instance: null,
  regId: null,
  userAgent: null,
  received: null,
  expiresAt: NOW + HOUR,
  changedAt: NOW,
  deleted: false,
  rev: 0,
  ...change,
})

t.test('tombstones and expired bindings are purged, the living are not', async (t) => {
  await writeBindings(db, [
    binding({ key: 'living', changedAt: NOW - 9 * HOUR }),
    binding({ key: 'old tombstone', deleted: true, changedAt: NOW - 2 * HOUR }),
    binding({ key: 'new tombstone', deleted: true, changedAt: NOW - 1000, expiresAt: NOW - 2 * HOUR }),
    binding({ key: 'expired', expiresAt: NOW - 2 * HOUR }),
    binding({ key: 'elsewhere', slot: 16_383, expiresAt: NOW - 2 * HOUR }),
  ])
  t.equal(await purgeBindings(db, NOW - HOUR, [{ first: 0, last: 5 }]), 2)
  t.same((await findBindings(db, 1, 'alice@example.com')).map(({ key }) => key).sort(), [
    'living',
    'new tombstone',
  ])
  t.equal(await purgeBindings(db, NOW - HOUR), 1)
})

t.test('of all nodes one purges in a time, also who was deleted long ago', async (t) => {
  await sql(url, `insert into tandem.domain (name) values ('example.com')`)
  await sql(
    url,
    `insert into tandem.subscriber (domain, username) values ('example.com', 'a'), ('example.com', 'b')`,
  )
  await sql(
    url,
    `insert into tandem.alias (domain, username, target_domain, target_username)
    values ('example.com', 'c', 'example.com', 'a')`,
  )
  await sql(url, 'delete from tandem.alias; delete from tandem.subscriber')
  await sql(
    url,
    `update tandem.subscriber_removed set removed_at = now() - interval '2 hours' where username = 'a';
    update tandem.alias_removed set removed_at = now() - interval '2 hours'`,
  )
  const left = () => sql<{ username: string }>(url, 'select username from tandem.subscriber_removed')
  const beforeMs = NOW - HOUR
  t.equal(await purge(db, { node: 'a1', beforeMs, everyMs: HOUR }), 2)
  t.same(await left(), [{ username: 'b' }])
  t.equal(await purge(db, { node: 'a2', beforeMs: NOW + HOUR, everyMs: HOUR }), undefined)
  t.same(await left(), [{ username: 'b' }], 'nothing done')
  const [state] = await sql<{ started_by: string }>(url, 'select started_by from tandem.purge_state')
  t.equal(state?.started_by, 'a1')
  t.ok((await purge(db, { node: 'a2', beforeMs: Date.now() + HOUR, everyMs: 0 })) ?? 0 >= 1)
  t.same(await left(), [])
})

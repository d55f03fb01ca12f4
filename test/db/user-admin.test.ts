import t from 'tap'
import { findSubscriber } from '../../db/subscriber-store.ts'
import {
  aliasesOf,
  createSubscriber,
  databaseNow,
  type ImportedSubscriber,
  importSubscribers,
  listDomains,
  setEnabled,
  setHa1s,
} from '../../db/user-admin.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const HA1S = { ha1Md5: 'a'.repeat(32), ha1Sha256: null, ha1Sha512256: null }
const OTHER = { ...HA1S, ha1Md5: 'b'.repeat(32) }

async function fresh() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await server.sql(
    url,
    `insert into tandem.domain (name, realm, hash_by) values ('example.com', 'realm', 'user'), ('example.org', 'Ö', 'user@domain')`,
  )
  return { db, edit: (text: string) => server.sql(url, text) }
}

const row = (user: string, more: Partial<ImportedSubscriber> = {}): ImportedSubscriber => ({
  domain: 'example.com',
  user,
  enabled: true,
  ...HA1S,
  ...more,
})

t.test('domains with their realm as wire text', async (t) => {
  const { db } = await fresh()
  t.same(await listDomains(db), [
    { name: 'example.com', realm: 'realm', hashBy: 'user' },
    { name: 'example.org', realm: '\xc3\x96', hashBy: 'user@domain' },
  ])
})

t.test('a subscriber is made once, changed, switched off and on', async (t) => {
  const { db } = await fresh()
  t.equal(await createSubscriber(db, 'example.com', 'alice', HA1S), 15431)
  t.equal(await createSubscriber(db, 'example.com', 'alice', OTHER), undefined)
  t.match(await findSubscriber(db, 'example.com', 'alice'), { ...HA1S, enabled: true })
  t.equal(await setHa1s(db, 'example.com', 'alice', OTHER), true)
  t.equal(await setEnabled(db, 'example.com', 'alice', false), true)
  t.match(await findSubscriber(db, 'example.com', 'alice'), { ...OTHER, enabled: false })
  t.equal(await setHa1s(db, 'example.com', 'bob', OTHER), false)
  t.equal(await setEnabled(db, 'example.com', 'bob', true), false)
})

t.test('one row that cannot be stored does not cost the others their place', async (t) => {
  const { db } = await fresh()
  const rows = Array.from({ length: 100 }, (_, i) => row(`user${i}`))
  rows[17] = row('user17', { ha1Md5: 'short' })
  rows[60] = row('user60', { domain: 'example.net' })
  const { failed } = await importSubscribers(db, rows, { setsEnabled: false })
  t.match(failed, [
    { row: { user: 'user17' }, error: { code: '23514' } },
    { row: { user: 'user60' }, error: { code: '23503' } },
  ])
  const [stored] = await db.query<{ count: number }>('select count(*)::int as count from tandem.subscriber')
  t.equal(stored?.count, 98)
})

t.test('whether an import switches users on and off is asked for', async (t) => {
  const { db } = await fresh()
  await importSubscribers(db, [row('alice', { enabled: false })], { setsEnabled: false })
  t.match(await findSubscriber(db, 'example.com', 'alice'), { enabled: false }, 'a new one is as given')
  await importSubscribers(db, [row('alice', OTHER)], { setsEnabled: false })
  t.match(await findSubscriber(db, 'example.com', 'alice'), { ...OTHER, enabled: false })
  await importSubscribers(db, [row('alice')], { setsEnabled: true })
  t.match(await findSubscriber(db, 'example.com', 'alice'), { ...HA1S, enabled: true })
  await importSubscribers(db, [], { setsEnabled: true })
})

t.test('what stands for a user, and what time it is', async (t) => {
  const { db, edit } = await fresh()
  await createSubscriber(db, 'example.com', 'alice', HA1S)
  await edit(`insert into tandem.alias (domain, username, target_domain, target_username) values
    ('example.org', 'sales', 'example.com', 'alice'), ('example.com', '100', 'example.com', 'alice')`)
  t.same(await aliasesOf(db, 'example.com', 'alice'), ['100@example.com', 'sales@example.org'])
  t.same(await aliasesOf(db, 'example.com', 'bob'), [])
  t.ok(Math.abs((await databaseNow(db)) - Date.now()) < 60_000)
})

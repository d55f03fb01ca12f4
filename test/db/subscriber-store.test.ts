import t from 'tap'
import { startCursor } from '../../db/rev-cursor.ts'
import { ALL_SLOTS } from '../../db/slot-ranges.ts'
import {
  addSubscriber,
  findSubscriber,
  readSubscribersSince,
  type SubscriberChange,
  type SubscriberRow,
  streamSubscribers,
} from '../../db/subscriber-store.ts'
import { testServer } from '../support/database.ts'
import { newcomers } from '../support/newcomers.ts'

const server = await testServer(t)
const HA1S = { ha1Md5: 'a'.repeat(32), ha1Sha256: 'b'.repeat(64), ha1Sha512256: null }

async function fresh() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await server.sql(url, `insert into tandem.domain (name) values ('example.com')`)
  return { db, edit: (text: string) => server.sql(url, text) }
}

t.test('a subscriber is added with its slot, and found', async (t) => {
  const { db } = await fresh()
  const alice = await addSubscriber(db, 'example.com', 'alice', HA1S)
  t.match(alice, { domain: 'example.com', user: 'alice', slot: 15431, enabled: true, ...HA1S })
  t.same(await findSubscriber(db, 'example.com', 'alice'), alice)
  t.equal(await findSubscriber(db, 'example.com', 'Alice'), undefined)
  const changed = await addSubscriber(db, 'example.com', 'alice', { ...HA1S, ha1Md5: 'c'.repeat(32) })
  t.match(changed, { ha1Md5: 'c'.repeat(32) })
  t.ok(changed.rev > alice.rev)
  await t.rejects(addSubscriber(db, 'example.net', 'alice', HA1S), { code: '23503' })
  await t.rejects(addSubscriber(db, 'example.com', 'bad', { ...HA1S, ha1Md5: 'bad-secret' }), {
    code: '23514',
  })
})

t.test('20,000 subscribers come in bounded batches, only those of the slots asked for', async (t) => {
  const { db, edit } = await fresh()
  await edit(`insert into tandem.subscriber (domain, username)
    select 'example.com', 'user' || n from generate_series(1, 20000) as n`)
  const wanted = [
    { first: 0, last: 2047 },
    { first: 8192, last: 10239 },
  ]
  const seen: SubscriberRow[] = []
  for await (const batch of streamSubscribers(db, wanted, 1_000)) {
    t.ok(batch.length <= 1_000)
    seen.push(...batch)
  }
  const [expected] = await db.query<{ count: number }>(
    `select count(*)::int as count from tandem.subscriber where slot < 2048 or slot between 8192 and 10239`,
  )
  t.equal(seen.length, expected?.count)
  t.ok(seen.every(({ slot }) => slot < 2048 || (slot >= 8192 && slot <= 10239)))
})

t.test('what a DBA does by hand arrives with the next refresh', async (t) => {
  const { db, edit } = await fresh()
  for (const user of ['alice', 'bob']) await addSubscriber(db, 'example.com', user, HA1S)
  const cursor = await startCursor(db)
  const onlyNew = newcomers<SubscriberChange>()
  const changes = async () => onlyNew(await readSubscribersSince(db, cursor, ALL_SLOTS))
  t.same(await changes(), [])
  await edit(`update tandem.subscriber set enabled = false where username = 'alice'`)
  t.match(await changes(), [{ removed: false, user: 'alice', slot: 15431, enabled: false }])
  await edit(`delete from tandem.subscriber where username = 'bob'`)
  t.match(await changes(), [{ removed: true, domain: 'example.com', user: 'bob', slot: 12608 }])
  await edit(`update tandem.subscriber set username = 'carol' where username = 'alice'`)
  t.match(
    (await changes()).map(({ removed, user, slot }) => ({ removed, user, slot })),
    [
      { removed: false, user: 'carol', slot: 3267 },
      { removed: true, user: 'alice', slot: 15431 },
    ],
  )
  await edit(`insert into tandem.subscriber (domain, username) values ('example.com', 'alice')`)
  t.match(await changes(), [{ removed: false, user: 'alice' }])
  t.same(await readSubscribersSince(db, cursor, []), [])
})

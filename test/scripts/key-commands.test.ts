import t from 'tap'
import { loadClusterKeys } from '../../db/cluster-key-store.ts'
import { seedDemo } from '../../db/demo.ts'
import { addKeyCommands } from '../../scripts/key-commands.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function demo() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  const sql = (text: string) => server.sql(url, text)
  const older = (interval: string) =>
    sql(`update tandem.cluster_key set since = since - interval '${interval}'`)
  return { db, sql, older, tandem: commandRunner(url, addKeyCommands) }
}

t.test(
  'a rotation: the next key signs, the current one is still accepted, another is announced',
  async (t) => {
    const { db, older, tandem } = await demo()
    await older('3 hours')
    const before = await loadClusterKeys(db)
    const { stdout } = await tandem('keys', 'rotate')
    t.match(
      stdout,
      /^Rotated; all nodes have been told\.\n\nKey +Use +For\nnext +accepted +\d s\ncurrent +signs +\d s\nprevious +accepted +\d s\n$/,
    )
    const after = await loadClusterKeys(db)
    t.same([after.current, after.previous], [before.next, before.current])
    t.notSame(after.next, before.next)
  },
)

t.test('refused while a node may not know the next key', async (t) => {
  const { db, tandem } = await demo()
  const before = await loadClusterKeys(db)
  await t.rejects(tandem('keys', 'rotate'), {
    code: 'KEYS_IN_USE',
    message: /^the next cluster key is \d+ seconds old/,
    hint: /--force/,
  })
  t.same(await loadClusterKeys(db), before)
})

t.test('refused while registrations carry tokens of the key that would go, unless forced', async (t) => {
  const { db, sql, older, tandem } = await demo()
  await sql(`insert into tandem.binding (slot, aor, key, contact, call_id, cseq, expires_at)
    values (12608, 'bob@example.com', 'k', 'sip:bob@192.0.2.7', 'c', 1, now() + interval '1 hour')`)
  await older('2 minutes')
  t.match((await tandem('keys', 'show')).stdout, /^Key +Use +For\nnext +accepted +2 min/)
  await tandem('keys', 'rotate')
  t.match(
    (await tandem('keys', 'show')).stdout,
    /1 registration must be refreshed, which takes 60 min at most/,
  )
  await older('2 minutes')
  await sql(`update tandem.cluster_key set since = now() where role = 'current'`)
  await t.rejects(tandem('keys', 'rotate'), { code: 'KEYS_IN_USE', message: /^1 registration\(s\)/ })
  const before = await loadClusterKeys(db)
  t.match((await tandem('keys', 'rotate', '--force', '--json')).stdout, /"oldBindings": 1/)
  t.same((await loadClusterKeys(db)).current, before.next)
})

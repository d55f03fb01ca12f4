import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import {
  addGroup,
  assignAll,
  assignSlots,
  diffVersions,
  drainGroup,
  history,
  overview,
  ownerOf,
  pin,
  removeGroup,
  rollbackTo,
  splitRange,
  unpin,
} from '../../db/map-admin.ts'
import { loadMap } from '../../db/map-store.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function demo() {
  const db = await server.open(await server.createDatabase())
  await seedDemo(db, ADDRESSES)
  return db
}

t.test('each edit tells its version and what it changed', async (t) => {
  const db = await demo()
  t.same(await assignSlots(db, { first: 14336, last: 16383, group: 'a' }, { comment: 'alice to a' }), {
    version: 2,
    changes: [{ what: 'slots', item: '14336-16383', before: 'b', after: 'a', subscribers: 1 }],
    dryRun: false,
  })
  t.same(await splitRange(db, 100), { version: 3, changes: [], dryRun: false })
  t.match(await pin(db, 'alice@example.com', 'b'), {
    changes: [{ what: 'pin', item: 'alice', before: null, after: 'b', subscribers: 1 }],
  })
  t.match(await ownerOf(db, 'sip:alice@example.com'), {
    key: 'alice',
    slot: 15431,
    group: 'b',
    why: 'pin',
    rule: 'alice',
  })
  t.match(await unpin(db, 'alice'), { version: 5, changes: [{ before: 'b', after: null, subscribers: 1 }] })
  t.match(await addGroup(db, { name: 'c', master: { node: 'c1', address: '127.0.0.1:5' } }), { version: 6 })
  t.match(await drainGroup(db, 'a', ['c']), { version: 7 })
  t.match(await removeGroup(db, 'a'), { version: 8 })
  t.match(
    await assignAll(
      db,
      [
        { first: 0, last: 9, group: 'b' },
        { first: 20, last: 29, group: 'b' },
      ],
      { comment: 'plan' },
    ),
    {
      version: 9,
      changes: [{ item: '0-9' }, { item: '20-29' }],
    },
  )
  t.match(await rollbackTo(db, 1), { version: 10 })
  t.match(await history(db, 2), [
    { version: 10, changedBy: 'tandem', comment: 'rollback to version 1' },
    { version: 9, comment: 'plan', changes: 'slots 0-9: c → b; slots 20-29: c → b' },
  ])
  t.ok(Math.abs(((await history(db, 1))[0]?.changedAt ?? 0) - Date.now()) < 60_000)
  t.same(await diffVersions(db, 1), [])
  t.equal((await diffVersions(db, 1, 2)).length, 1)
  t.match(await overview(db), [
    {
      group: 'a',
      state: 'active',
      master: 'a1',
      members: 2,
      slots: 8192,
      slotsPercent: 50,
      pins: 0,
      subscribers: 2,
      bindings: 0,
    },
    { group: 'b', subscribers: 2, subscribersPercent: 50 },
  ])
})

t.test('a dry run tells the same and does nothing', async (t) => {
  const db = await demo()
  const before = await loadMap(db)
  const edit = { first: 14336, last: 16383, group: 'a' }
  t.same(await assignSlots(db, edit, { dryRun: true, comment: 'x' }), {
    version: 2,
    changes: [{ what: 'slots', item: '14336-16383', before: 'b', after: 'a', subscribers: 1 }],
    dryRun: true,
  })
  t.same(await loadMap(db), before)
  t.match(await assignSlots(db, edit), { version: 2, dryRun: false })
  await t.rejects(rollbackTo(db, 99, { dryRun: true }), { code: 'MAP_REFUSED' })
})

t.test('what the database refuses says why, and what to do', async (t) => {
  const db = await demo()
  const before = await loadMap(db)
  const refused: [edit: () => Promise<unknown>, message: RegExp][] = [
    [
      () => assignSlots(db, { first: 0, last: 1, group: 'x' }),
      /^slots 0-1 are given to group x, which does not exist$/,
    ],
    [
      () => assignSlots(db, { first: 0, last: 99_999, group: 'a' }),
      /^slots 0-99999 are no range within 0-16383$/,
    ],
    [() => removeGroup(db, 'a'), /^group a cannot be removed: it owns slots 0-2047, /],
    [() => unpin(db, 'alice'), /^alice is not pinned$/],
    [
      () => addGroup(db, { name: 'c', master: { node: 'a1', address: '127.0.0.1:5' } }),
      /member_pkey[^\n]*\nKey \(node\)=\(a1\)/,
    ],
    [() => diffVersions(db, 99), /^there is no version 99/],
  ]
  for (const [edit, message] of refused) {
    await t.rejects(edit(), { name: 'TandemError', code: 'MAP_REFUSED', message })
  }
  await t.rejects(assignSlots(db, { first: 0, last: 1, group: 'x' }), {
    message: /group x/,
    hint: /^Groups: a, b\./,
  })
  t.same(await loadMap(db), before)
})

import t from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import { isLive, Location, UNNUMBERED } from '../../stage2/location.ts'
import { binding, change } from '../support/cluster.ts'

const AOR = 'bob@example.com'
const NOW = Date.UTC(2002, 5, 1)
const HOME = 'sip:bob@192.0.2.1'
const WORK = 'sip:bob@192.0.2.2'

const contacts = (location: Location, nowMs = NOW) => location.find(AOR, nowMs).map(({ contact }) => contact)
const revs = (location: Location) => location.rows(AOR).map(({ rev }) => rev)
/** The same binding, changed later. */
const again = (row: BindingRow, changes: Partial<BindingRow> = {}): BindingRow => ({
  ...row,
  rev: UNNUMBERED,
  ...changes,
})

t.test('the preferred binding comes first, then the newest', async (t) => {
  const location = new Location()
  location.adopt(binding('sip:c@x', NOW, { q: 500, expiresAt: NOW + 9000 }))
  location.adopt(binding('sip:b@x', NOW, { expiresAt: NOW + 1000 }))
  location.adopt(binding('sip:a@x', NOW, { expiresAt: NOW + 2000 }))
  t.strictSame(contacts(location), ['sip:a@x', 'sip:b@x', 'sip:c@x'])
  t.strictSame(location.find('carol@example.com', NOW), [])
})

t.test('a binding ends at its time, not a millisecond later', async (t) => {
  const row = binding(HOME, NOW, { expiresAt: NOW + 1000 })
  t.equal(isLive(row, NOW + 999), true)
  t.equal(isLive(row, NOW + 1000), false)
  t.equal(isLive({ ...row, deleted: true }, NOW), false)
  const location = new Location()
  location.adopt(row)
  t.strictSame(contacts(location, NOW + 1000), [])
  t.equal(location.rows(AOR).length, 1, 'and is known until it is swept')
})

t.test('of what PostgreSQL tells, the highest number counts', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW, { rev: 5, q: 500 }))
  location.adopt(binding(HOME, NOW, { rev: 4, q: 400 }))
  location.adopt(binding(HOME, NOW, { rev: 5, q: 450 }))
  t.equal(location.find(AOR, NOW)[0]?.q, 500)
  location.adopt(binding(HOME, NOW, { rev: 6, deleted: true }))
  t.strictSame(contacts(location), [], 'a tombstone is taken over too')
})

t.test('a change counts at once, and a refresh does not undo it', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW, { rev: 5 }))
  const moved = again(binding(HOME, NOW), { q: 100 })
  location.put(moved)
  location.adopt(binding(HOME, NOW, { rev: 6, q: 600 }))
  t.equal(location.find(AOR, NOW)[0]?.q, 100)
  t.equal(location.pending, 1)
  location.settle(moved, { ...moved, rev: 7 })
  t.equal(location.find(AOR, NOW)[0]?.q, 100)
  t.strictSame(revs(location), [7])
  t.equal(location.pending, 0)
})

t.test('what was newer in PostgreSQL takes the place of the change', async (t) => {
  const location = new Location()
  const mine = change(HOME, NOW, { q: 100 })
  location.put(mine)
  location.settle(mine, binding(HOME, NOW, { rev: 90, q: 900 }))
  t.equal(location.find(AOR, NOW)[0]?.q, 900)
  location.adopt(binding(HOME, NOW, { rev: 91, q: 910 }))
  t.equal(location.find(AOR, NOW)[0]?.q, 910, 'and goes on being refreshed')
})

t.test('what a DBA changed after the commit, but was read before we heard of it, counts', async (t) => {
  const location = new Location()
  const mine = change(HOME, NOW)
  location.put(mine)
  location.adopt(binding(HOME, NOW, { rev: 8, deleted: true }))
  location.settle(mine, { ...mine, rev: 7 })
  t.strictSame(contacts(location), [])
})

t.test('a failed change leaves what was there', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW, { rev: 5, q: 500 }))
  const moved = change(HOME, NOW, { q: 100 })
  const added = change(WORK, NOW)
  location.put(moved)
  location.put(added)
  location.revert(added)
  location.revert(moved)
  t.strictSame(contacts(location), [HOME])
  t.strictSame(revs(location), [5])
  location.put(added)
  location.revert(added)
  location.put(again(binding(HOME, NOW)))
  t.equal(location.pending, 1)
})

t.test('a failed change leaves nothing where nothing was', async (t) => {
  const location = new Location()
  const added = change(HOME, NOW)
  location.put(added)
  location.revert(added)
  t.equal(location.size, 0)
  t.equal(location.pending, 0)
})

t.test('a change on top of another: whatever fails, what is durable remains', async (t) => {
  const outcomes = [
    { first: true, second: true, q: 200, rev: 7 },
    { first: true, second: false, q: 100, rev: 6 },
    { first: false, second: true, q: 200, rev: 7 },
    { first: false, second: false, q: 500, rev: 5 },
  ]
  for (const { first, second, q, rev } of outcomes) {
    const location = new Location()
    location.adopt(binding(HOME, NOW, { rev: 5, q: 500 }))
    const one = change(HOME, NOW, { q: 100 })
    const two = again(one, { q: 200 })
    location.put(one)
    location.put(two)
    first ? location.settle(one, { ...one, rev: 6 }) : location.revert(one)
    t.equal(location.find(AOR, NOW)[0]?.q, 200, 'the second goes on counting')
    second ? location.settle(two, { ...two, rev: 7 }) : location.revert(two)
    t.equal(location.find(AOR, NOW)[0]?.q, q)
    t.strictSame(revs(location), [rev])
    t.equal(location.pending, 0)
    location.adopt(binding(HOME, NOW, { rev: 9, q: 900 }))
    t.equal(location.find(AOR, NOW)[0]?.q, 900, 'and is refreshed again')
  }
})

t.test('a change that is kept without PostgreSQL gives way to the next thing it tells', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW, { rev: 5, q: 500 }))
  const one = change(HOME, NOW, { q: 100 })
  const two = again(one, { q: 200 })
  location.put(one)
  location.put(two)
  location.keep(one)
  t.equal(location.pending, 1, 'the second still waits')
  location.keep(two)
  t.equal(location.find(AOR, NOW)[0]?.q, 200)
  t.equal(location.pending, 0)
  location.adopt(binding(HOME, NOW, { rev: 6, q: 600 }))
  t.equal(location.find(AOR, NOW)[0]?.q, 600)
})

t.test('a change that is kept counts again when a later one fails', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW, { rev: 5, q: 500 }))
  const one = change(HOME, NOW, { q: 100 })
  const two = again(one, { q: 200 })
  location.put(one)
  location.put(two)
  location.keep(one)
  location.revert(two)
  t.equal(location.find(AOR, NOW)[0]?.q, 100)
  t.equal(location.pending, 0)
})

t.test('what ended long ago is swept, but not what waits for its commit', async (t) => {
  const location = new Location()
  const waiting = change('sip:waiting@x', NOW, { expiresAt: NOW })
  location.adopt(binding('sip:old@x', NOW, { expiresAt: NOW }))
  location.adopt(binding('sip:young@x', NOW, { expiresAt: NOW + 5000 }))
  location.put(waiting)
  location.adopt(binding(HOME, NOW, { aor: 'carol@example.com', expiresAt: NOW }))
  location.sweep(NOW + 1)
  t.strictSame(
    location.rows(AOR).map(({ contact }) => contact),
    ['sip:young@x', 'sip:waiting@x'],
  )
  t.equal(location.size, 1, 'carol is forgotten altogether')
  location.revert(waiting)
  location.sweep(NOW + 5001)
  t.equal(location.size, 0)
})

t.test('a sweep is bounded, and the next one goes on where it stopped', async (t) => {
  const location = new Location()
  for (let i = 0; i < 5000; i++) location.adopt(binding(HOME, NOW, { aor: `u${i}@x`, expiresAt: NOW }))
  const left = []
  for (let i = 0; i < 3; i++) {
    location.sweep(NOW + 1)
    left.push(location.size)
  }
  t.strictSame(left, [3000, 1000, 0])
})

t.test('a phone that comes and goes under ever new contacts does not fill memory', async (t) => {
  const location = new Location()
  location.adopt(binding(HOME, NOW))
  const waiting = change('sip:waiting@x', NOW, { expiresAt: NOW })
  location.put(waiting)
  for (let i = 0; i < 500; i++) {
    const nowMs = NOW + i
    const gone = change(`sip:phone${i}@x`, nowMs, { deleted: true, expiresAt: nowMs })
    location.put(gone)
    location.settle(gone, { ...gone, rev: 10 + i })
  }
  const contactsKept = location.rows(AOR).map(({ contact }) => contact)
  t.equal(contactsKept.length, 100)
  t.ok(contactsKept.includes(HOME), 'what lives is kept')
  t.ok(contactsKept.includes('sip:waiting@x'), 'and what waits for its commit')
  t.ok(contactsKept.includes('sip:phone499@x'), 'and what has ended last')
  t.notOk(contactsKept.includes('sip:phone300@x'))
})

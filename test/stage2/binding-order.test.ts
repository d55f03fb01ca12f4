import t from 'tap'
import {
  ALL_CONTACTS,
  type BindingRow,
  findBindings,
  REMOVAL_HOLDS_MS,
  writeBindings,
} from '../../db/binding-store.ts'
import { isRemovedBy, removedWith, replaces } from '../../stage2/binding-order.ts'
import { change } from '../support/cluster.ts'
import { testDatabase } from '../support/database.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const NOW = Date.now()
const HOME = 'sip:bob@192.0.2.1'

/** Rows around all borders of the rule. */
function anyRow(random: SeededRandom, changes: Partial<BindingRow>): BindingRow {
  return change(HOME, NOW, {
    callId: random.pick(['one', 'two']),
    cseq: random.pick([1, 2]),
    changedAt: NOW + random.pick([0, 1, REMOVAL_HOLDS_MS, REMOVAL_HOLDS_MS + 1]),
    expiresAt: NOW + random.pick([0, 1, 2, 3_600_000]),
    deleted: random.next() < 0.4,
    ...changes,
  })
}

t.test('memory and PostgreSQL agree which of two rows is the newer', async (t) => {
  const { db } = await testDatabase(t)
  const random = new SeededRandom(1)
  const pairs = Array.from({ length: 500 }, (_, n) => {
    const aor = `u${n}@example.com`
    return { stored: anyRow(random, { aor }), next: anyRow(random, { aor, userAgent: 'next' }) }
  })
  await writeBindings(
    db,
    pairs.map(({ stored }) => stored),
  )
  const { newer } = await writeBindings(
    db,
    pairs.map(({ next }) => next),
  )
  const kept = new Set(newer.map(({ aor }) => aor))
  const wrong = pairs.filter(({ stored, next }) => replaces(next, stored) === kept.has(stored.aor))
  t.same(wrong, [])
  t.ok(kept.size > 50 && kept.size < 450, `both come about: ${kept.size} of 500 were kept`)
})

t.test('they agree what the removal of all contacts is of', async (t) => {
  const { db } = await testDatabase(t)
  const random = new SeededRandom(2)
  const later = { expiresAt: NOW + 3_600_000 }
  const pairs = Array.from({ length: 500 }, (_, n) => {
    const aor = `u${n}@example.com`
    const removal = anyRow(random, { aor, key: ALL_CONTACTS, deleted: true, contact: '' })
    return { row: anyRow(random, { aor, deleted: false, ...later }), removal }
  })
  await writeBindings(
    db,
    pairs.map(({ row }) => row),
  )
  await writeBindings(
    db,
    pairs.map(({ removal }) => removal),
  )
  let removed = 0
  for (const { row, removal } of pairs) {
    const stored = (await findBindings(db, row.slot, row.aor)).find(({ key }) => key === row.key)
    if (stored?.deleted !== isRemovedBy(row, removal)) t.fail(JSON.stringify({ row, removal }))
    if (stored?.deleted) removed++
    const [gone] = removedWith(removal, [row])
    if (stored?.deleted && stored.changedAt !== gone?.changedAt) t.fail(JSON.stringify({ stored, gone }))
  }
  t.ok(removed > 50 && removed < 450, `both come about: ${removed} of 500 were removed`)
})

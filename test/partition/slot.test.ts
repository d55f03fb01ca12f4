import t from 'tap'
import { crc32, SLOTS, slotOf } from '../../src/partition/slot.ts'

t.test('test vectors, shared with SQL', async (t) => {
  t.equal(crc32('123456789'), 0xcbf43926)
  t.equal(crc32(''), 0)
  const vectors = { alice: 15431, bob: 12608, carol: 3267, dave: 5624 }
  for (const [user, slot] of Object.entries(vectors)) t.equal(slotOf(user), slot, user)
})

t.test('every byte counts, and bytes are what is hashed', async (t) => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte))
  t.equal(crc32(all), 0x29058c73)
  const utf8 = Buffer.from('müller').toString('latin1')
  t.equal(crc32(utf8), 0xa3fa8e59, 'as zlib and PostgreSQL have it')
})

/** χ² per degree of freedom: about 1 for a random spread; 1.1 is far outside chance at 16383 degrees. */
function spread(users: readonly string[]): number {
  const counts = new Uint32Array(SLOTS)
  for (const user of users) {
    const slot = slotOf(user)
    counts[slot] = (counts[slot] ?? 0) + 1
  }
  const expected = users.length / SLOTS
  let chi2 = 0
  for (const count of counts) chi2 += (count - expected) ** 2 / expected
  return chi2 / (SLOTS - 1)
}

const names = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy']

const populations: Record<string, string[]> = {
  'a number block': Array.from({ length: 100_000 }, (_, i) => `+4930${String(1_000_000 + i)}`),
  'ten number blocks': Array.from(
    { length: 100_000 },
    (_, i) => `+1${200 + (i % 10)}55${String(i).padStart(5, '0')}`,
  ),
  names: Array.from(
    { length: 100_000 },
    (_, i) => `${names[i % 10]}.${names[Math.floor(i / 10) % 10]}${Math.floor(i / 100)}`,
  ),
  UUIDs: Array.from({ length: 100_000 }, (_, i) => {
    const hex = (Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
    return `${hex}-0000-4000-8000-${hex}${hex.slice(4)}`
  }),
}

for (const [name, users] of Object.entries(populations)) {
  t.test(`${name}: no slot is much fuller than chance`, async (t) => {
    t.ok(spread(users) < 1.1, `χ²/df ${spread(users).toFixed(3)}`)
  })
}

t.test('short extensions do not pile up', async (t) => {
  const users = Array.from({ length: 9900 }, (_, i) => String(100 + i))
  const counts = new Map<number, number>()
  for (const user of users) counts.set(slotOf(user), (counts.get(slotOf(user)) ?? 0) + 1)
  t.ok(Math.max(...counts.values()) <= 7, 'the fullest slot')
  t.ok(counts.size > 6000, 'slots used')
})

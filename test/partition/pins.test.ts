import fc from 'fast-check'
import t from 'tap'
import { type PinRow, Pins } from '../../src/partition/pins.ts'
import { crc32 } from '../../src/partition/slot.ts'

const groups = ['a', 'b', 'c']
const pinsOf = (rows: readonly PinRow[]) => {
  const pins = new Pins(rows, (group) => groups.indexOf(group))
  return { groupOf: (user: string) => pins.groupOf(user, crc32(user)) }
}

t.test('an exact user goes before a prefix, a longer prefix before a shorter one', async (t) => {
  const pins = pinsOf([
    { kind: 'prefix', value: '+49', group: 'a' },
    { kind: 'prefix', value: '+4930', group: 'b' },
    { kind: 'user', value: '+49301234567', group: 'c' },
    { kind: 'user', value: 'alice', group: 'b' },
  ])
  t.equal(pins.groupOf('+4989123'), 0)
  t.equal(pins.groupOf('+4930'), 1)
  t.equal(pins.groupOf('+49301234568'), 1)
  t.equal(pins.groupOf('+49301234567'), 2)
  t.equal(pins.groupOf('alice'), 1)
  t.equal(pins.groupOf('bob'), -1)
  t.equal(pins.groupOf('49'), -1, 'a plus is a plus')
  t.equal(pins.groupOf(''), -1)
})

t.test('no pins, no exceptions', async (t) => {
  t.equal(pinsOf([]).groupOf('+4930'), -1)
})

t.test('a prefix that is no number is refused', async (t) => {
  for (const value of ['49a', '4+9', 'alice']) {
    t.throws(() => pinsOf([{ kind: 'prefix', value, group: 'a' }]), RangeError)
  }
})

t.test('agrees with a search through all rows', async (t) => {
  const digits = (max: number) => fc.stringMatching(new RegExp(`^\\+?[0-4]{0,${max}}$`))
  const row = fc.record({
    kind: fc.constantFrom('user' as const, 'prefix' as const),
    value: digits(6).filter((value) => value !== ''),
    group: fc.constantFrom(...groups),
  })
  const rows = fc.uniqueArray(row, { maxLength: 200, selector: ({ kind, value }) => `${kind} ${value}` })
  fc.assert(
    fc.property(rows, fc.array(digits(8), { maxLength: 50 }), (rows, users) => {
      const pins = pinsOf(rows)
      for (const user of users) {
        const exact = rows.find(({ kind, value }) => kind === 'user' && value === user)
        const byLength = rows
          .filter(({ kind, value }) => kind === 'prefix' && user.startsWith(value))
          .sort((a, b) => b.value.length - a.value.length)
        const expected = exact ?? byLength[0]
        if (pins.groupOf(user) !== (expected ? groups.indexOf(expected.group) : -1)) return false
      }
      return true
    }),
    { seed: 20261121, numRuns: 300 },
  )
  t.pass()
})

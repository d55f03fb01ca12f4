import fc from 'fast-check'
import t from 'tap'
import { includes, overlap, type Slots, shareCondition, slotCount, without } from '../../db/slot-ranges.ts'

const SLOTS = 40
/** Ranges that do not overlap, in order. */
const ranges = fc
  .uniqueArray(fc.integer({ min: 0, max: SLOTS - 1 }), { maxLength: 12 })
  .map((borders): Slots[] => {
    const sorted = borders.sort((a, b) => a - b)
    return sorted.flatMap((first, i) => (i % 2 === 0 ? [{ first, last: sorted[i + 1] ?? first }] : []))
  })
const slotsOf = (list: readonly Slots[]) =>
  Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => includes(list, slot))

t.test('what two lists share, and what one has beyond the other', async (t) => {
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const [inA, inB] = [slotsOf(a), new Set(slotsOf(b))]
      const both = inA.filter((slot) => inB.has(slot))
      const onlyA = inA.filter((slot) => !inB.has(slot))
      return (
        slotsOf(overlap(a, b)).join() === both.join() &&
        slotsOf(without(a, b)).join() === onlyA.join() &&
        slotCount(without(a, b)) === onlyA.length &&
        slotCount(a) === inA.length
      )
    }),
    { seed: 20261121, numRuns: 2000 },
  )
  t.pass()
})

t.test('the condition of a share: slots written out, pins by sub-selects', async (t) => {
  const columns = { user: 'username', aor: 'aor' }
  t.equal(shareCondition([], columns), 'false')
  t.equal(shareCondition([{ first: 1, last: 2 }], columns), '(slot between 1 and 2)')
  const pinned = { pinnedTo: "o'a", users: true, prefixLengths: [3] }
  const sql = shareCondition([{ first: 1, last: 2 }, pinned], columns)
  t.match(sql, /username in .*kind = 'user' and group_name = 'o''a'/)
  t.match(sql, /left\(username, 3\) in .*kind = 'prefix'/)
  t.throws(() => shareCondition([{ first: 1.5, last: 2 }], columns), RangeError)
})

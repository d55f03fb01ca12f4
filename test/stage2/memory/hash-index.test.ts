import t from 'tap'
import { HashIndex } from '../../../stage2/memory/hash-index.ts'

const isRef = (ref: number, wanted: number): boolean => ref === wanted

/** Spreads small numbers over 32 bits, each to another. */
const hashOf = (i: number): number => Math.imul(i + 1, 0x9e_37_79_b1) >>> 0

function refsOf(index: HashIndex): number[] {
  const refs: number[] = []
  for (let from = 0; from < 2 ** 32; ) {
    const part = index.part(from)
    refs.push(...part.refs)
    from = part.next
  }
  return refs.sort((a, b) => a - b)
}

t.test('each reference is found by its hash, and no other', async (t) => {
  const index = new HashIndex(16)
  for (let i = 1; i <= 5000; i++) index.add(hashOf(i), i)
  t.equal(index.size, 5000)
  for (let i = 1; i <= 5000; i++) if (index.find(hashOf(i), i, isRef) !== i) t.fail(`${i} is lost`)
  t.equal(index.find(hashOf(1), 2, isRef), 0)
  t.equal(index.find(hashOf(5001), 5001, isRef), 0)
  t.strictSame(refsOf(index).length, 5000)
})

t.test('what is removed is gone, and what stood behind it is still found', async (t) => {
  const index = new HashIndex(1024)
  // All in one bucket, and in each other's way.
  for (let i = 1; i <= 600; i++) index.add((i % 40) + 100, i)
  for (let i = 1; i <= 600; i += 2) index.remove((i % 40) + 100, i)
  for (let i = 1; i <= 600; i++) t.equal(index.find((i % 40) + 100, i, isRef), i % 2 === 0 ? i : 0)
  index.replace((2 % 40) + 100, 2, 700)
  t.equal(index.find(102, 700, isRef), 700)
  t.equal(index.find(102, 2, isRef), 0)
  t.throws(() => index.remove(102, 2), { message: /no such reference/ })
})

t.test('many equal hashes make one bucket large, and not the index', async (t) => {
  const index = new HashIndex(8)
  for (let i = 1; i <= 2000; i++) index.add(0xab_cd_ef_01, i)
  for (let i = 1; i <= 100; i++) index.add(hashOf(i), 10_000 + i)
  t.equal(index.find(0xab_cd_ef_01, 1999, isRef), 1999)
  t.equal(index.find(hashOf(50), 10_050, isRef), 10_050)
  t.equal(index.part(0xab_cd_ef_01).refs.length, 2000)
  for (let i = 1; i <= 2000; i++) index.remove(0xab_cd_ef_01, i)
  t.equal(index.size, 100)
})

t.test('the parts are the whole, from the first hash to the last', async (t) => {
  const index = new HashIndex(8)
  t.strictSame(index.part(0), { refs: [], next: 2 ** 32 })
  for (const [i, hash] of [0, 0xff_ff_ff_ff, 0x7f_ff_ff_ff, 0x80_00_00_00].entries()) index.add(hash, i + 1)
  for (let i = 1; i <= 500; i++) index.add(hashOf(i), i + 4)
  t.strictSame(
    refsOf(index),
    Array.from({ length: 504 }, (_, i) => i + 1),
  )
})

import t from 'tap'
import { NonceMint } from '../../src/sip/nonce.ts'
import { NonceCounts } from '../../src/sip/nonce-counts.ts'
import { FakeClock } from '../support/fake-clock.ts'

function counting(options: { lifetimeMs?: number; max?: number } = {}) {
  const clock = new FakeClock()
  const keys = { current: new Uint8Array(32), previous: undefined }
  const mint = new NonceMint(() => keys, clock, { skewMs: 0, ...options })
  const counts = new NonceCounts(mint, options)
  return { clock, counts, mint: () => mint.mint('example.com') }
}

const hex = (count: number) => count.toString(16).padStart(8, '0')

t.test('each count of a nonce is good once', async (t) => {
  const { counts, mint } = counting()
  const nonce = mint()
  for (const nc of ['00000001', '00000002', '0000000a', 'ffffffff']) {
    t.equal(counts.use(nonce, nc), 'good', nc)
    t.equal(counts.use(nonce, nc), 'stale', `${nc} again`)
  }
  t.equal(counts.use(nonce, 'FFFFFFFF'), 'stale', 'in capital letters')
  t.equal(counts.use(mint(), '00000001'), 'good', 'of another nonce')
})

t.test('requests may overtake each other by 21 counts, but not further', async (t) => {
  const { counts, mint } = counting()
  const nonce = mint()
  t.equal(counts.use(nonce, hex(1)), 'good')
  t.equal(counts.use(nonce, hex(30)), 'good')
  for (let nc = 9; nc < 30; nc++) {
    t.equal(counts.use(nonce, hex(nc)), 'good', `${nc}`)
    t.equal(counts.use(nonce, hex(nc)), 'stale', `${nc} again`)
  }
  t.equal(counts.use(nonce, hex(8)), 'stale', 'below the window')
  t.equal(counts.use(nonce, hex(32)), 'good')
  t.equal(counts.use(nonce, hex(31)), 'good')
  for (let nc = 0; nc <= 32; nc++) t.equal(counts.use(nonce, hex(nc)), 'stale', `${nc} at last`)
})

t.test('the window against a set that forgets nothing', async (t) => {
  const { counts, mint } = counting()
  const nonce = mint()
  const used = new Set<number>()
  let highest = 0
  let seed = 7
  for (let i = 0; i < 5000; i++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    const nc = Math.max(1, highest + ((seed >>> 16) % 40) - 30)
    const expected = (used.size === 0 || nc > highest || highest - nc <= 21) && !used.has(nc)
    // Below the first count everything is taken for used.
    if (used.size === 0) for (let below = 0; below < nc; below++) used.add(below)
    if ((counts.use(nonce, hex(nc)) === 'good') !== expected) t.fail(`${nc} below ${highest}`)
    used.add(nc)
    highest = Math.max(highest, nc)
  }
})

t.test('counts below the first one seen may have been used at another member', async (t) => {
  const { counts, mint } = counting()
  const nonce = mint()
  t.equal(counts.use(nonce, hex(5)), 'good')
  t.equal(counts.use(nonce, hex(4)), 'stale')
  t.equal(counts.use(nonce, hex(6)), 'good')
})

t.test('without a count (RFC 2069) a nonce is good for one request', async (t) => {
  const { counts, mint } = counting()
  const nonce = mint()
  t.equal(counts.use(nonce, undefined), 'good')
  t.equal(counts.use(nonce, undefined), 'stale')
})

t.test('what is no nonce or no count is stale', async (t) => {
  const { counts, mint } = counting()
  t.equal(counts.use('abc', '00000001'), 'stale')
  t.equal(counts.use('!'.repeat(32), '00000001'), 'stale')
  t.equal(counts.use(mint(), 'xyz'), 'stale')
  t.equal(counts.size, 0)
})

t.test('a full table forgets the oldest, and takes no replay of them', async (t) => {
  const { clock, counts, mint } = counting({ max: 100 })
  const nonces = Array.from({ length: 1000 }, () => {
    clock.advance(1)
    return mint()
  })
  t.ok(nonces.every((nonce) => counts.use(nonce, hex(1)) === 'good' && counts.size <= 100))
  t.ok(nonces.every((nonce) => counts.use(nonce, hex(1)) === 'stale'))
  t.equal(counts.use(nonces[999] ?? '', hex(2)), 'good')
  t.equal(counts.use(nonces[0] ?? '', hex(2)), 'stale', 'the forgotten ones ask for a new nonce')
})

t.test('what has expired is forgotten in time', async (t) => {
  const { clock, counts, mint } = counting({ lifetimeMs: 1000 })
  for (let i = 0; i < 50; i++) counts.use(mint(), hex(1))
  const nonce = mint()
  clock.advance(1000)
  t.equal(counts.use(nonce, hex(1)), 'good', 'in its last moment')
  clock.advance(1000)
  t.equal(counts.use(mint(), hex(1)), 'good')
  t.equal(counts.size, 2)
})

import t from 'tap'
import type { ClusterKeys } from '../../src/ops/cluster-keys.ts'
import { NonceCounts, NonceMint } from '../../src/sip/nonce.ts'
import { FakeClock } from '../support/fake-clock.ts'

const REALM = 'biloxi.example.com'
const keyOf = (seed: number) => new Uint8Array(32).fill(seed)
const only = (current: Uint8Array): ClusterKeys => ({ current, previous: undefined })

t.test('what one member mints another accepts, for the same realm only', async (t) => {
  const clock = new FakeClock()
  const one = new NonceMint(() => only(keyOf(1)), clock)
  const other = new NonceMint(() => only(keyOf(1)), clock)
  const nonce = one.mint(REALM)
  t.equal(other.check(nonce, REALM), 'good')
  t.equal(other.check(nonce, 'atlanta.example.com'), 'forged')
})

t.test('a nonce needs no quoting and never comes twice', async (t) => {
  const mint = new NonceMint(() => only(keyOf(1)), new FakeClock())
  const nonces = Array.from({ length: 1000 }, () => mint.mint(REALM))
  t.ok(nonces.every((nonce) => /^[A-Za-z0-9_-]{32}$/.test(nonce)))
  t.equal(new Set(nonces).size, nonces.length)
})

t.test('a nonce with any character changed, cut or lengthened is forged', async (t) => {
  const mint = new NonceMint(() => only(keyOf(1)), new FakeClock())
  const nonce = mint.mint(REALM)
  for (let i = 0; i < nonce.length; i++) {
    for (const other of ['A', 'B', '!', 'ÿ']) {
      if (nonce[i] === other) continue
      t.equal(mint.check(nonce.slice(0, i) + other + nonce.slice(i + 1), REALM), 'forged')
    }
    t.equal(mint.check(nonce.slice(0, i), REALM), 'forged')
  }
  t.equal(mint.check(`${nonce}A`, REALM), 'forged')
  t.equal(mint.check('', REALM), 'forged')
})

t.test('a nonce is stale after its lifetime, and before its time by more than the skew', async (t) => {
  const clock = new FakeClock()
  const options = { lifetimeMs: 60_000, skewMs: 5000 }
  const mint = new NonceMint(() => only(keyOf(1)), clock, options)
  const nonce = mint.mint(REALM)
  clock.advance(60_000)
  t.equal(mint.check(nonce, REALM), 'good')
  clock.advance(1)
  t.equal(mint.check(nonce, REALM), 'stale')

  const ahead = new NonceMint(() => only(keyOf(1)), new FakeClock(clock.now() + 5000), options)
  t.equal(mint.check(ahead.mint(REALM), REALM), 'good')
  const farAhead = new NonceMint(() => only(keyOf(1)), new FakeClock(clock.now() + 5001), options)
  t.equal(mint.check(farAhead.mint(REALM), REALM), 'stale')
})

t.test(
  'rotation: minted with the current key, accepted with the previous one, forged thereafter',
  async (t) => {
    const clock = new FakeClock()
    let keys = only(keyOf(1))
    const mint = new NonceMint(() => keys, clock)
    const old = mint.mint(REALM)
    keys = { current: keyOf(2), previous: keyOf(1) }
    t.equal(mint.check(old, REALM), 'good')
    const young = mint.mint(REALM)
    t.equal(new NonceMint(() => only(keyOf(2)), clock).check(young, REALM), 'good')
    t.equal(new NonceMint(() => only(keyOf(1)), clock).check(young, REALM), 'forged')
    keys = { current: keyOf(3), previous: keyOf(2) }
    t.equal(mint.check(old, REALM), 'forged')
    t.equal(mint.check(young, REALM), 'good')
  },
)

function counting(options: { lifetimeMs?: number; max?: number } = {}) {
  const clock = new FakeClock()
  const mint = new NonceMint(() => only(keyOf(1)), clock, options)
  const counts = new NonceCounts(clock, options)
  return { clock, counts, mint: () => mint.mint(REALM) }
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

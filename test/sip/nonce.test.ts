import t from 'tap'
import type { ClusterKeys } from '../../src/ops/cluster-keys.ts'
import { NonceMint } from '../../src/sip/nonce.ts'
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

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { ClusterHash } from '../../src/net/cluster-hash.ts'
import type { ClusterKeys } from '../../src/ops/cluster-keys.ts'
import { KeyedHash } from '../../src/sip/keyed-hash.ts'

t.test('the current key signs, all are accepted, and a new one is in force at once', async (t) => {
  const [first, second, third] = [randomBytes(32), randomBytes(32), randomBytes(32)]
  let keys: ClusterKeys = { current: first, previous: undefined }
  const hash = new ClusterHash(() => keys, 'a purpose')
  const signedBy = (key: Uint8Array) => new KeyedHash(key, 'a purpose').token('text')
  const accepts = (key: Uint8Array) => hash.accepts((each) => each.token('text') === signedBy(key))
  t.equal(hash.current.token('text'), signedBy(first))
  t.same([first, second, third].map(accepts), [true, false, false])
  keys = { current: second, previous: first }
  t.equal(hash.current.token('text'), signedBy(second))
  t.same([first, second, third].map(accepts), [true, true, false])
  keys = { current: second, previous: first, next: third }
  t.equal(hash.current.token('text'), signedBy(second), 'what is announced does not sign')
  t.same([first, second, third].map(accepts), [true, true, true])
  keys = { current: third, previous: second }
  t.same([first, second, third].map(accepts), [false, true, true])
  t.equal(hash.current, hash.current, 'made once')
})

t.test('purposes do not mix', async (t) => {
  const keys = { current: randomBytes(32), previous: undefined }
  const [a, b] = [new ClusterHash(() => keys, 'a'), new ClusterHash(() => keys, 'b')]
  t.not(a.current.token('text'), b.current.token('text'))
})

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { ClusterHash } from '../../src/net/cluster-hash.ts'
import { KeyedHash } from '../../src/sip/keyed-hash.ts'

t.test('the current key signs, both are accepted, and a new one is in force at once', async (t) => {
  const [first, second, third] = [randomBytes(32), randomBytes(32), randomBytes(32)]
  let keys = { current: first, previous: undefined as Uint8Array | undefined }
  const hash = new ClusterHash(() => keys, 'a purpose')
  const signedBy = (key: Uint8Array) => new KeyedHash(key, 'a purpose').token('text')
  const accepts = (key: Uint8Array) => hash.accepts((each) => each.token('text') === signedBy(key))
  t.equal(hash.current.token('text'), signedBy(first))
  t.same([first, second, third].map(accepts), [true, false, false])
  keys = { current: second, previous: first }
  t.equal(hash.current.token('text'), signedBy(second))
  t.same([first, second, third].map(accepts), [true, true, false])
  keys = { current: third, previous: second }
  t.same([first, second, third].map(accepts), [false, true, true])
  t.equal(hash.current, hash.current, 'made once')
})

t.test('purposes do not mix', async (t) => {
  const keys = { current: randomBytes(32), previous: undefined }
  const [a, b] = [new ClusterHash(() => keys, 'a'), new ClusterHash(() => keys, 'b')]
  t.not(a.current.token('text'), b.current.token('text'))
})

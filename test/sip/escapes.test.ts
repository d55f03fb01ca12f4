import t from 'tap'
import { decodeEscapes, normalizeEscapes } from '../../src/sip/escapes.ts'

t.test('decoding, once', async (t) => {
  t.equal(decodeEscapes('alice'), 'alice')
  t.equal(decodeEscapes('%61lic%65'), 'alice')
  t.equal(decodeEscapes('%2561'), '%61')
  t.equal(decodeEscapes('%00%ff'), '\0\xff')
  t.equal(decodeEscapes('100%'), '100%')
  t.equal(decodeEscapes('%zz%4'), '%zz%4')
  t.equal(decodeEscapes('%%41'), '%A')
})

t.test('one spelling for all that RFC 3261 19.1.4 calls equal', async (t) => {
  t.equal(normalizeEscapes("-_.!~*'()azAZ09"), "-_.!~*'()azAZ09")
  t.equal(normalizeEscapes('%2D%5f%2e%21%7e%2a%27%28%29%61%7A'), "-_.!~*'()az")
  t.equal(
    normalizeEscapes('%3b%2F%3f%3A%40%26%3d%2b%24%2c'),
    '%3B%2F%3F%3A%40%26%3D%2B%24%2C',
    'reserved stays escaped',
  )
  t.equal(normalizeEscapes('&=+$,;?/'), '&=+$,;?/', 'or bare')
  t.equal(normalizeEscapes('a b#"\0\xc3\xbc%C3%bc'), 'a%20b%23%22%00%C3%BC%C3%BC')
  t.equal(normalizeEscapes('%'), '%25')
})

t.test('it is a normal form', async (t) => {
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte)
    const once = normalizeEscapes(`x${character}y`)
    t.equal(normalizeEscapes(once), once)
    t.match(once, /^[\x21-\x7e]+$/, `byte ${byte}`)
  }
})

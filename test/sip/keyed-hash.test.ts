import { createHmac } from 'node:crypto'
import t from 'tap'
import { KeyedHash } from '../../src/sip/keyed-hash.ts'

const key = Buffer.from('a key of the cluster')
const hash = new KeyedHash(key, 'branch')
const TEXT = 'z9hG4bK776asdhds/pc33.atlanta.example.com/a84b4c76e66710@pc33.atlanta.example.com/314159'

t.test('a token is the same in every process', async (t) => {
  t.equal(new KeyedHash(Uint8Array.from(key), 'branch').token(TEXT), hash.token(TEXT))
  t.equal(hash.token(TEXT), '7b893e28eb6956b16a3f215ad65dd3da')
})

t.test('a token is 32 hexadecimal digits, whatever the text', async (t) => {
  for (const text of ['', TEXT, 'ÿ\u0000', 'a'.repeat(70_000)]) t.match(hash.token(text), /^[0-9a-f]{32}$/)
})

t.test('key, purpose and every character matter', async (t) => {
  const tokens = [
    hash.token(TEXT),
    new KeyedHash(Buffer.from('another key'), 'branch').token(TEXT),
    new KeyedHash(key, 'tag').token(TEXT),
    ...Array.from(TEXT, (_, i) => hash.token(`${TEXT.slice(0, i)}#${TEXT.slice(i + 1)}`)),
    ...Array.from({ length: 256 }, (_, code) => hash.token(String.fromCharCode(code))),
  ]
  t.equal(new Set(tokens).size, tokens.length)
})

t.test('a changed bit of the text changes half of the bits of the token', async (t) => {
  const before = bits(hash.token(TEXT))
  let changed = 0
  for (let i = 0; i < TEXT.length; i++) {
    const other = TEXT.slice(0, i) + String.fromCharCode(TEXT.charCodeAt(i) ^ 1) + TEXT.slice(i + 1)
    const after = bits(hash.token(other))
    for (let bit = 0; bit < 128; bit++) if (before[bit] !== after[bit]) changed++
  }
  const share = changed / (128 * TEXT.length)
  t.ok(share > 0.47 && share < 0.53, `${share}`)
})

t.test('mac is the HMAC-SHA-256 of RFC 2104', async (t) => {
  const secret = createHmac('sha256', key).update('nonce').digest('hex')
  const nonces = new KeyedHash(key, 'nonce')
  for (const text of ['', TEXT]) {
    t.equal(nonces.mac(text), createHmac('sha256', secret).update(text).digest('base64url'))
  }
})

const bits = (hex: string) => BigInt(`0x1${hex}`).toString(2)

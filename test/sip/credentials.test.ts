import t from 'tap'
import {
  credentialsFor,
  hasMalformedCredentials,
  parseChallenge,
  parseCredentials,
} from '../../src/sip/credentials.ts'

const BASE =
  'username="bob", realm="biloxi.example.com", nonce="n", uri="sip:biloxi.example.com", response="0123456789abcdef0123456789abcdef"'

t.test('all parameters, with white space, a folded line and capitals wherever they may be', async (t) => {
  const credentials = parseCredentials(
    'DIGEST\tUserName = "bob" ,REALM="biloxi.example.com",\r\n nonce="abc",uri="sip:b@biloxi.example.com;a=b,c",' +
      'response="6629fae49393a05397450978507c4ef1",algorithm=sha-256, cnonce="0a4f113b", opaque="5c;c", qop=AUTH, nc=0000000A',
  )
  t.strictSame(credentials, {
    username: 'bob',
    realm: 'biloxi.example.com',
    nonce: 'abc',
    uri: 'sip:b@biloxi.example.com;a=b,c',
    response: '6629fae49393a05397450978507c4ef1',
    algorithm: 'sha-256',
    qop: 'auth',
    nc: '0000000A',
    cnonce: '0a4f113b',
    opaque: '5c;c',
  })
})

t.test('defaults: MD5, no qop', async (t) => {
  const credentials = parseCredentials(`Digest ${BASE}`)
  t.match(credentials, {
    algorithm: 'MD5',
    qop: undefined,
    nc: undefined,
    cnonce: undefined,
    opaque: undefined,
  })
})

t.test('unknown parameters are ignored, however often they come', async (t) => {
  t.ok(parseCredentials(`Digest ${BASE}, auts="x", auts="y", foo=bar`))
})

t.test('phones put tokens in quotes and leave a comma at the end', async (t) => {
  const text = `Digest ${BASE}, algorithm="MD5", qop="auth", nc="1", cnonce=abc,`
  t.match(parseCredentials(text), { algorithm: 'MD5', qop: 'auth', nc: '1', cnonce: 'abc' })
})

t.test('escapes are taken out of what is compared, and left in what is hashed', async (t) => {
  const text = `Digest ${BASE}, qop=auth, nc=00000001, cnonce="a\\"b"`.replace('"bob"', '"b\\"o\\\\b, \\x"')
  t.match(parseCredentials(text), { username: 'b"o\\b, x', cnonce: 'a\\"b' })
})

t.test('each of its own parameters at most once', async (t) => {
  const own = [
    'username="x"',
    'realm="x"',
    'nonce="x"',
    'uri="x"',
    'response="x"',
    'opaque=""',
    'algorithm=MD5',
  ]
  for (const param of own)
    t.equal(parseCredentials(`Digest ${BASE}, opaque="", algorithm=MD5, ${param}`), undefined)
})

t.test('malformed values', async (t) => {
  const malformed = [
    '',
    'Digest',
    'Digest ',
    'Digestusername="bob"',
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==',
    `Digest ${BASE.replace('username="bob", ', '')}`,
    `Digest ${BASE.replace(' nonce="n",', '')}`,
    `Digest ${BASE.replace('response', 'rsponse')}`,
    `Digest ${BASE}, opaque="unclosed`,
    `Digest ${BASE}, opaque`,
    `Digest ${BASE}, opaque=`,
    `Digest ${BASE}; opaque=x`,
    `Digest ${BASE}, =x`,
    `Digest ${BASE}, qop=auth, nc=00000001`,
    `Digest ${BASE}, qop=auth, cnonce="c"`,
    `Digest ${BASE}, qop=auth, cnonce="c", nc=0000000g`,
    `Digest ${BASE}, qop=auth, cnonce="c", nc=000000001`,
    `Digest ${BASE}, qop=auth-conf, cnonce="c", nc=00000001`,
    `Digest ${BASE}, userhash=true`,
    `Digest ${BASE}, username*=UTF-8''bob`,
    `Digest ${BASE}, Digest ${BASE}`,
  ]
  for (const text of malformed) t.equal(parseCredentials(text), undefined, text)
})

t.test('username* is decoded to the bytes of its UTF-8 (RFC 7616 §3.9.2)', async (t) => {
  const extended = (value: string) => `Digest ${BASE.replace('username="bob"', `username*=${value}`)}`
  const expected = Buffer.from('Jäsøn Doe').toString('latin1')
  t.equal(parseCredentials(extended("UTF-8''J%C3%A4s%C3%B8n%20Doe"))?.username, expected)
  for (const bad of ["ISO-8859-1''x", "UTF-8''%4", "UTF-8''%zz", 'bob', "UTF-8'bob", "UTF-8''a'b"]) {
    t.equal(parseCredentials(extended(bad)), undefined, bad)
  }
})

t.test('among credentials of several realms and schemes, ours', async (t) => {
  const of = (realm: string, nonce: string) =>
    `Digest ${BASE.replace('biloxi.example.com', realm).replace('"n"', `"${nonce}"`)}`
  const values = ['Bearer abc', of('a.example.com', '1'), 'Digest nonsense', of('b.example.com', '2')]
  t.equal(credentialsFor(values, 'b.example.com')?.nonce, '2')
  t.equal(credentialsFor(values, 'a.example.com')?.nonce, '1')
  t.equal(credentialsFor(values, 'c.example.com'), undefined)
  t.equal(credentialsFor(values, 'B.example.com'), undefined, 'a realm is compared letter by letter')
})

t.test('malformed is only what claims to be digest', async (t) => {
  t.equal(hasMalformedCredentials(['Bearer abc', `Digest ${BASE}`]), false)
  t.equal(hasMalformedCredentials(['Bearer abc', 'Digest username="bob"']), true)
})

t.test('challenges', async (t) => {
  const text =
    'Digest realm="atlanta.example.com", qop="auth, auth-int ,token", nonce="84f1c1ae6cbe5ua9c8e88dfa3ecm3459", opaque="", stale=TRUE, algorithm=MD5, domain="sip:a"'
  t.strictSame(parseChallenge(text), {
    realm: 'atlanta.example.com',
    nonce: '84f1c1ae6cbe5ua9c8e88dfa3ecm3459',
    algorithm: 'MD5',
    qop: ['auth', 'auth-int'],
    stale: true,
    opaque: '',
  })
  t.match(parseChallenge('Digest realm="a", nonce="b"'), { algorithm: 'MD5', qop: [], stale: false })
  for (const bad of [
    'Digest realm="a"',
    'Digest nonce="a"',
    'Basic realm="a"',
    'Digest realm="a" nonce="b"',
  ]) {
    t.equal(parseChallenge(bad), undefined, bad)
  }
})

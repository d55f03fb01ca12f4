import t from 'tap'
import { parseUri, type Uri } from '../../src/sip/uri.ts'
import { sameUri, uriKey } from '../../src/sip/uri-compare.ts'

function uri(text: string): Uri {
  const parsed = parseUri(text)
  if (parsed === undefined) throw new Error(`not a URI: ${text}`)
  return parsed
}

/** RFC 3261 §19.1.4, each set of its examples. */
const equivalent = [
  ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com;security=on'],
  ['sip:carol@chicago.com;newparam=5', 'sip:carol@chicago.com;security=on'],
  [
    'sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com',
    'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com',
  ],
  [
    'sip:alice@atlanta.com?subject=project%20x&priority=urgent',
    'sip:alice@atlanta.com?priority=urgent&subject=project%20x',
  ],
] as const

const different = [
  ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP', 'users'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060', 'ports'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp', 'transports'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp', 'port and transport'],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting', 'headers'],
  ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4', 'name and address'],
  ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off', 'a parameter in both'],
  ['sip:a@b', 'sips:a@b', 'schemes'],
  ['sip:a@b', 'sip:a:pw@b', 'password'],
  ['sip:a@b;user=ip', 'sip:a@b', 'user in one'],
  ['sip:a@b;ttl=1', 'sip:a@b', 'ttl in one'],
  ['sip:a@b;method=INVITE', 'sip:a@b', 'method in one'],
  ['sip:a@b', 'sip:a@b;maddr=1.2.3.4', 'maddr in one'],
  ['sip:+1@b', 'sip:%2B1@b', 'a reserved character and its escape'],
  ['sip:a%3Bx@b', 'sip:a;x@b', 'a reserved character and its escape'],
] as const

t.test('the examples of RFC 3261 section 19.1.4', async (t) => {
  for (const [a, b] of equivalent) {
    t.ok(sameUri(uri(a), uri(b)), `${a} = ${b}`)
    t.ok(sameUri(uri(b), uri(a)))
  }
  for (const [a, b, why] of different) {
    t.notOk(sameUri(uri(a), uri(b)), `${a} ≠ ${b}: ${why}`)
    t.notOk(sameUri(uri(b), uri(a)))
  }
})

t.test('escapes of what is not reserved, in any case', async (t) => {
  t.ok(sameUri(uri('sip:%7ejohn%2d@b'), uri('sip:~john-@b')))
  t.ok(sameUri(uri('sip:a%c3%bc@b'), uri('sip:a%C3%BC@b')))
  t.ok(sameUri(uri('sip:%23a@b'), uri('sip:#a@b')), 'what should have been escaped')
  t.ok(sameUri(uri('sip:a@b;%78=%79'), uri('sip:a@b;X=Y')))
  t.ok(sameUri(uri('sip:a:%70w@b'), uri('sip:a:pw@b')))
})

t.test('IPv6 addresses compare as addresses (RFC 5954 4.2)', async (t) => {
  t.ok(sameUri(uri('sip:bob@[::ffff:192.0.2.128]'), uri('sip:bob@[::ffff:c000:280]')))
  t.ok(sameUri(uri('sip:bob@[2001:db8::9:1]'), uri('sip:bob@[2001:db8::9:01]')))
  t.ok(sameUri(uri('sip:bob@[2001:db8::9:1]'), uri('sip:bob@[2001:0DB8:0:0:0:0:9:1]')))
  t.notOk(sameUri(uri('sip:bob@[2001:db8::9:1]'), uri('sip:bob@[2001:db8::9:2]')))
})

t.test('tel URIs (RFC 3966 section 4)', async (t) => {
  t.ok(sameUri(uri('tel:+1-201-555-0123'), uri('tel:+1(201)555.0123')))
  t.ok(
    sameUri(
      uri('tel:7042;phone-context=Example.com;ext=1-2'),
      uri('tel:70-42;ext=12;phone-context=example.com'),
    ),
  )
  t.notOk(sameUri(uri('tel:+12015550123'), uri('tel:12015550123')), 'global and local')
  t.notOk(sameUri(uri('tel:7042'), uri('tel:7042;phone-context=example.com')))
  t.notOk(sameUri(uri('tel:7042'), uri('sip:7042@example.com')))
})

t.test('unknown schemes by their bytes', async (t) => {
  t.ok(sameUri(uri('isbn:1'), uri('isbn:1')))
  t.notOk(sameUri(uri('isbn:1'), uri('isbn:2')))
})

t.test('the same key means equal; only ignorable parameters set equal URIs apart', async (t) => {
  const texts = [...equivalent.flat(), ...different.map(([a]) => a), ...different.map(([, b]) => b)]
  for (const a of texts) {
    for (const b of texts) {
      if (uriKey(uri(a)) === uriKey(uri(b))) t.ok(sameUri(uri(a), uri(b)), `${a} and ${b}`)
    }
  }
  t.equal(uriKey(uri('sip:%61@B.com;x=1;LR')), uriKey(uri('sip:a@b.com;lr;X=1')))
  t.not(uriKey(uri('sip:a@b')), uriKey(uri('sip:a@b;x=1')))
  t.equal(uriKey(uri('tel:+1-2')), uriKey(uri('tel:+12')))
})

t.test('equality is not transitive, so no key can be exact', async (t) => {
  const [none, on, off] = ['', ';security=on', ';security=off'].map((p) =>
    uri(`sip:carol@chicago.com${p}`),
  ) as [Uri, Uri, Uri]
  t.ok(sameUri(none, on) && sameUri(none, off))
  t.notOk(sameUri(on, off))
})

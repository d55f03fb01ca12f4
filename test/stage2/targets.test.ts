import t from 'tap'
import { FlowTokens } from '../../src/net/flow-token.ts'
import { targetsOf } from '../../stage2/targets.ts'
import { binding, edgeInside, testCluster, udp } from '../support/cluster.ts'

const cluster = testCluster()
const tokens = new FlowTokens(() => cluster.keys)
const BOB = 'sip:bob@198.51.100.7:5070'

const targets = (...rows: Parameters<typeof binding>[]) =>
  targetsOf(
    rows.map((row) => binding(...row)),
    cluster,
    tokens,
  )

t.test('two bindings with two Paths: each goes by its own', async (t) => {
  const path1 = ['<sip:t1@192.0.2.60:5160;lr;ob>']
  const path2 = ['<sip:t2@192.0.2.61;lr;ob>', '<sip:198.51.100.99;lr>']
  t.strictSame(
    targets([BOB, 0, { path: path1 }], ['sip:bob@10.0.0.1', 0, { path: path2, q: 200, key: '2' }]),
    [
      { uri: BOB, q: 1000, route: path1, hop: udp('192.0.2.60', 5160) },
      { uri: 'sip:bob@10.0.0.1', q: 200, route: path2, hop: udp('192.0.2.61') },
    ],
  )
})

t.test('without a Path it leaves by an edge, with a token for its address', async (t) => {
  const [target] = targets([BOB, 0])
  t.strictSame(target?.hop, edgeInside)
  t.equal(target?.route.length, 1)
  const token = /^<sip:([^@]+)@192\.0\.2\.60:5160;lr>$/.exec(target?.route[0] ?? '')?.[1]
  t.strictSame(tokens.open(token ?? ''), udp('198.51.100.7', 5070))
  t.strictSame(targetsOf([binding(BOB, 0)], testCluster({ edges: [] }), tokens), [], 'no edge, no way out')
})

t.test('what leads nowhere is left out, and does not keep the others from being tried', async (t) => {
  const found = targets(
    ['sip:bob@phone.example.net', 0],
    ['mailto:bob@example.com', 0],
    ['not a URI', 0],
    [BOB, 0, { path: ['<sip:edge.example.net;lr>'] }],
    [BOB, 0, { path: ['garbage'] }],
    [BOB, 0],
  )
  t.strictSame(
    found.map(({ uri }) => uri),
    [BOB],
  )
})

t.test('§16.6 step 2: what may not stand in a Request-URI is taken out', async (t) => {
  const uri = (contact: string) => targets([contact, 0, { path: ['<sip:192.0.2.60:5160;lr>'] }])[0]?.uri
  t.equal(uri(`${BOB}?Route=%3Csip:192.0.2.1%3E&Subject=x`), BOB, 'regescrt of RFC 4475')
  t.equal(uri(`${BOB};method=INVITE;transport=udp`), `${BOB};transport=udp`)
  t.equal(uri(`${BOB};a=1;METHOD=INVITE?X=y`), `${BOB};a=1`)
  t.equal(uri('sip:bob;method=x@198.51.100.7'), 'sip:bob;method=x@198.51.100.7', 'that is in the user part')
  t.equal(uri(`${BOB};unknownparam`), `${BOB};unknownparam`)
  t.equal(uri('tel:+15551234'), 'tel:+15551234')
})

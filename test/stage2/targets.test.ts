import t from 'tap'
import { FlowTokens } from '../../src/net/flow-token.ts'
import type { EdgeNode } from '../../src/partition/cluster.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { targetsOf } from '../../stage2/targets.ts'
import { binding, edge, edgeInside, testCluster, udp } from '../support/cluster.ts'

const cluster = testCluster()
const tokens = new FlowTokens(() => cluster.keys)
const BOB = 'sip:bob@198.51.100.7:5070'

const targets = (...rows: Parameters<typeof binding>[]) =>
  targetsOf(
    rows.map((row) => binding(...row)),
    cluster,
    tokens,
    'call-1',
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
  t.strictSame(
    targetsOf([binding(BOB, 0)], testCluster({ edges: [] }), tokens, 'call-1'),
    [],
    'no edge, no way out',
  )
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

const PHONE = udp('198.51.100.7', 5070)
const s2: EdgeNode = {
  name: 's2',
  outside: [udp('203.0.113.2')],
  inside: [udp('192.0.2.61', 5160), udp('192.0.2.61', 5161)],
}
const pathBy = (flow: Endpoint, place = '192.0.2.99:5160') => [`<sip:${tokens.mint(flow)}@${place};lr;ob>`]

t.test('calls are spread over all workers of all edges that reach the phone’s version of IP', async (t) => {
  const both = testCluster({ edges: [edge, s2] })
  const hops = (contact: string) => {
    const counts = new Map<string, number>()
    for (let call = 0; call < 3000; call++) {
      const [target] = targetsOf([binding(contact, 0)], both, tokens, `call-${call}@${call * 7}`)
      const hop = `${target?.hop.address}:${target?.hop.port}`
      if (!target?.route[0]?.endsWith(`@${hop};lr>`)) t.fail(`${target?.route[0]} by ${hop}`)
      counts.set(hop, (counts.get(hop) ?? 0) + 1)
    }
    return counts
  }
  const v4 = hops(BOB)
  t.same([...v4.keys()].sort(), ['192.0.2.60:5160', '192.0.2.61:5160', '192.0.2.61:5161'])
  for (const count of v4.values()) t.ok(count > 850, `${count} of 3000`)
  t.same([...hops('sip:bob@[2001:db8::7]').keys()], ['192.0.2.60:5160'], 's2 has no IPv6')
  const ways = new Set([1, 2].map(() => targetsOf([binding(BOB, 0)], both, tokens, 'one call')[0]?.hop))
  t.equal(ways.size, 1, 'one call goes one way')
})

t.test(
  'an edge that is gone: another serves a phone that is where it says, and none one behind a NAT',
  async (t) => {
    const alive = pathBy(PHONE, '192.0.2.60:5160')
    t.strictSame(targets([BOB, 0, { path: alive }])[0]?.route, alive)
    const [rerouted] = targets([BOB, 0, { path: pathBy(PHONE) }])
    t.strictSame(rerouted?.hop, edgeInside)
    const token = /^<sip:([^@]+)@192\.0\.2\.60:5160;lr>$/.exec(rerouted?.route[0] ?? '')?.[1]
    t.strictSame(tokens.open(token ?? ''), PHONE, 'the Contact')

    const nat = udp('203.0.113.77', 40_001)
    t.strictSame(targets(['sip:bob@10.1.2.3', 0, { path: pathBy(nat) }]), [])
    t.strictSame(targets(['sip:bob@phone.example.net', 0, { path: pathBy(PHONE) }]), [])
    const behindProxy = [...pathBy(PHONE), '<sip:198.51.100.99;lr>']
    t.strictSame(
      targets([BOB, 0, { path: behindProxy }]),
      [],
      'what lies beyond a proxy only the proxy knows',
    )
  },
)

t.test('a connection of an edge that is gone: the phone is called where its Contact says', async (t) => {
  const flow: Endpoint = { transport: 'tcp', address: '198.51.100.7', port: 41_000, connection: 9 }
  const [target] = targets([`${BOB};transport=tcp`, 0, { path: pathBy(flow) }])
  const token = /^<sip:([^@]+)@/.exec(target?.route[0] ?? '')?.[1]
  t.strictSame(tokens.open(token ?? ''), { transport: 'tcp', address: '198.51.100.7', port: 5070 })
})

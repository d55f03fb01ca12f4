import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { edgeOf, flow, INVITE, inDialog, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A_OUT, ALICE, B_IN, B_OUT, B1, BOB, parsed, tokens, udp } from './fixture.ts'

/** The Request-URI and Route that a message leaves with. */
function goes(message: string) {
  const request = parsed(message)
  return [request.requestUri, ...request.values(H.route)]
}

const recordOf = (to = BOB, at = A_OUT) => `sip:${tokens.mint(to)}@${at.address}:${at.port};lr`
const PEER = '<sip:bob@192.168.1.9>'
const bye = (uri: string, ...routes: string[]) =>
  inDialog(
    wire(
      'BYE',
      uri,
      routes.map((route) => `Route: ${route}`),
    ),
  )

t.test('RFC 3261 §16.4: a strict router has put our Record-Route into the Request-URI', async (t) => {
  const { one, outside, inside } = edgeOf()
  const way = (message: string) => goes(one(message))
  t.same(way(bye(recordOf(), PEER)), ['sip:bob@192.168.1.9'])
  t.same(
    way(bye(recordOf(ALICE), flow(BOB, A_OUT), PEER)),
    ['sip:bob@192.168.1.9'],
    "the sender's own is first",
  )
  t.same(way(bye(recordOf(), `<sip:next.example.org;lr>, ${PEER}`)), [
    'sip:bob@192.168.1.9',
    '<sip:next.example.org;lr>',
  ])
  t.same(
    way(bye(recordOf(BOB, B_OUT), PEER)),
    ['sip:bob@192.168.1.9', `<${recordOf(BOB, B_OUT)}>`],
    'spelt loosely for the other node',
  )
  t.equal(statusOf(one(bye(recordOf(), '<sip:bob@'))), 400)
  t.equal(statusOf(one(bye(recordOf(), flow(ALICE, A_OUT)))), 400, 'nobody is there')
  t.equal(statusOf(one(bye(recordOf()))), 404, 'nothing to restore it from')
  t.equal(
    statusOf(one(bye('sip:forged@192.0.2.1', PEER))),
    403,
    'not of our making: as for any other Route abroad',
  )
  t.same([outside.sent, inside.sent], [[], []])
})

t.test('the peer that the restored Request-URI names is looked for as in any request', async (t) => {
  const { receive, outside, inside, toGroup } = edgeOf()
  receive(bye(recordOf(ALICE), '<sip:bob@example.com>'))
  t.equal(toGroup[0]?.group, 'a')
  t.match(toGroup[0]?.text, /^BYE sip:bob@example\.com SIP\/2\.0\r\n/)
  t.notMatch(toGroup[0]?.text, /\nRoute/)
  receive(bye(recordOf(BOB, B_OUT), PEER))
  t.same(inside.sent[0]?.to, B_IN)
  t.same(outside.sent, [])
})

t.test('RFC 3261 §16.6 step 6: a next hop without lr finds itself in the Request-URI', async (t) => {
  const { one } = edgeOf()
  const strict = '<sip:203.0.113.40:5070>'
  const out = (uri: string, ...routes: string[]) => goes(one(sentBy(B1, bye(uri, ...routes)), B1, 'inside'))
  t.same(out('sip:bob@203.0.113.9', strict), ['sip:203.0.113.40:5070', '<sip:bob@203.0.113.9>'])
  t.same(out('sip:bob@203.0.113.9', `${strict}, <sip:two.example.org;lr>`), [
    'sip:203.0.113.40:5070',
    '<sip:two.example.org;lr>',
    '<sip:bob@203.0.113.9>',
  ])
  t.same(out('sip:bob@203.0.113.9', flow(BOB, A_IN), strict), [
    'sip:203.0.113.40:5070',
    '<sip:bob@203.0.113.9>',
  ])
  t.same(out('sip:bob@203.0.113.9', '<sip:203.0.113.40;lr>'), [
    'sip:bob@203.0.113.9',
    '<sip:203.0.113.40;lr>',
  ])
  // A token of another node is ours, whether or not somebody has lost its lr.
  const across = goes(one(bye('sip:bob@203.0.113.9', flow(BOB, B_OUT).replace(';lr', ''))))
  t.same(across, ['sip:bob@203.0.113.9', flow(BOB, B_OUT).replace(';lr', '')])
})

t.test('a maddr that names us has done its work; another is the one target', async (t) => {
  const { one, receive, toGroup, outside } = edgeOf()
  const uriAtGroup = (uri: string, more: string[] = []) => {
    receive(wire('INVITE', uri, more))
    return parsed(toGroup.splice(0)[0]?.text).requestUri
  }
  t.equal(uriAtGroup('sip:alice@example.com;maddr=192.0.2.1'), 'sip:alice@example.com')
  t.equal(
    uriAtGroup('sip:alice@example.com:5060;transport=tcp;maddr=192.0.2.1;user=phone'),
    'sip:alice@example.com;user=phone',
  )
  t.equal(
    uriAtGroup('sip:alice@example.com;maddr=example.com', ['Route: <sip:192.0.2.1;lr>']),
    'sip:alice@example.com',
  )
  t.equal(uriAtGroup('sip:alice@example.com;maddr=[2001:DB8:1:0::1]'), 'sip:alice@example.com')
  const status = (uri: string) => statusOf(one(wire('INVITE', uri)))
  t.equal(status('sip:alice@example.com;maddr=192.0.2.99'), 403, 'from outside, nobody relays by it')
  t.equal(status('sip:alice@example.com:5070;maddr=192.0.2.1'), 403, 'another port is somebody else')
  t.equal(status('sip:alice@example.com;maddr=a b'.replace(' ', '%20')), 400)
  t.equal(status('sip:192.0.2.1;maddr=192.0.2.1'), 404)
  receive(sentBy(B1, wire('INVITE', 'sip:x@example.org;maddr=203.0.113.9')), B1, 'inside')
  t.same(outside.sent[0]?.to, udp('203.0.113.9', 5060))
})

t.test('RFC 3261 §16.3: the checks in their order', async (t) => {
  const { one } = edgeOf()
  const status = (uri: string, more: string[]) => statusOf(one(wire('INVITE', uri, more)))
  const ZERO = 'Max-Forwards: 0'
  const EXTENSION = 'Proxy-Require: teleport'
  t.equal(statusOf(one(swap(wire('INVITE', 'http://x', [ZERO]), /CSeq.*\r\n/, ''))), 400)
  t.equal(status('http://x', [ZERO, EXTENSION]), 416)
  t.equal(status(`sip:${'a'.repeat(3000)}@example.com`, [ZERO]), 414)
  t.equal(status('sip:alice@example.com', [ZERO, EXTENSION]), 483)
  t.equal(status('sip:x@example.org', [ZERO]), 483, 'before it is looked where it leads')
  t.equal(status('sip:x@example.org', [EXTENSION]), 420)
  t.equal(status('sip:x@example.org', []), 403)
  t.equal(
    statusOf(one(swap(INVITE, 'INVITE sip', 'TELEPORT sip'))),
    501,
    'of an unknown method, CSeq says INVITE',
  )
  const answer = one(
    wire('INVITE', 'sip:alice@example.com', [
      'Proxy-Require: teleport, PATH',
      EXTENSION,
      'Proxy-Require: outbound',
    ]),
  )
  t.same(parsed(answer).values(H.unsupported), ['teleport', 'teleport'])
  t.match(
    one(wire('INVITE', 'sip:alice@example.com', ['Require: teleport'])),
    /^INVITE /,
    "the callee's business",
  )
})

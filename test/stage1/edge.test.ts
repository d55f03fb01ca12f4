import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { branchOf, edgeOf, flow, HEX, INVITE, inDialog, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A_OUT, A1, ALICE, B_IN, B_OUT, B1, BOB, key, parsed, S1B, text, udp } from './fixture.ts'

t.test('a request goes to its group, and only what must change does', async (t) => {
  const { edge, receive, toGroup, outside, inside } = edgeOf()
  const body = 'grüße\0\xff\r\n'
  receive(
    text(
      [
        'MESSAGE sip:alice@example.com SIP/2.0',
        'Max-Forwards: 10',
        'X-Odd :  kept \t as it is',
        'v: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bKclient;rport, SIP/2.0/TCP pc;branch=z9hG4bK0',
        'f: <sip:carol@example.com>;tag=f1',
        't: <sip:alice@example.com>',
        'i: call-1@client',
        'CSeq: 1 MESSAGE',
        `l: ${body.length}`,
      ],
      body,
    ),
  )
  t.equal(toGroup.length, 1)
  const [{ group, text: sent } = { group: '', text: '' }] = toGroup
  t.equal(group, 'b')
  t.match(branchOf(sent), new RegExp(`^z9hG4bKo${HEX}$`))
  t.equal(
    sent,
    text(
      [
        'MESSAGE sip:alice@example.com SIP/2.0',
        'Max-Forwards: 9',
        'X-Odd :  kept \t as it is',
        `Via: SIP/2.0/UDP 10.0.0.1:5160;branch=${branchOf(sent)};map=7`,
        'v: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bKclient;rport=40001;received=198.51.100.7, SIP/2.0/TCP pc;branch=z9hG4bK0',
        'f: <sip:carol@example.com>;tag=f1',
        't: <sip:alice@example.com>',
        'i: call-1@client',
        'CSeq: 1 MESSAGE',
        `l: ${body.length}`,
      ],
      body,
    ),
  )
  t.same([outside.sent, inside.sent], [[], []])
  t.same(edge.counters, { requests: 1, responses: 0, refused: 0, dropped: 0, unsent: 0, keepAlives: 0 })
})

t.test(
  'RFC 3261 §16.11: one branch for one transaction of the client, on any node, at any time',
  async (t) => {
    const branch = branchOf(edgeOf().one(INVITE))
    t.equal(branchOf(edgeOf().one(INVITE)), branch, 'another process')
    t.equal(branchOf(edgeOf({ self: S1B }).one(INVITE)), branch, 'another node')
    t.equal(branchOf(edgeOf().one(INVITE, udp('198.51.100.7', 40_009))), branch, 'another port of the client')
    t.equal(branchOf(edgeOf().one(INVITE.replaceAll('INVITE', 'CANCEL'))), branch, 'CANCEL')
    const ack = inDialog(INVITE.replaceAll('INVITE', 'ACK'))
    t.equal(branchOf(edgeOf().one(ack)), branch, 'ACK to a failure')

    const others = [
      swap(INVITE, 'z9hG4bKclient', 'z9hG4bKclient2'),
      swap(INVITE, 'UDP 198.51.100.7:40001', 'UDP 198.51.100.7:40002'),
      swap(INVITE, 'call-1', 'call-2'),
      swap(INVITE, '314', '315'),
    ].map((other) => branchOf(edgeOf().one(other)))
    others.push(
      branchOf(edgeOf({ cluster: { keys: { current: key('new'), previous: undefined } } }).one(INVITE)),
    )
    others.push(branchOf(edgeOf().one(INVITE, B1, 'inside')))
    t.equal(new Set([branch, ...others]).size, others.length + 1, 'all others have others')
  },
)

t.test('an RFC 2543 client has no branch that names its transaction', async (t) => {
  const invite = swap(INVITE, ';branch=z9hG4bKclient', '')
  const branch = branchOf(edgeOf().one(invite))
  t.match(branch, new RegExp(`^z9hG4bKo${HEX}$`))
  t.equal(branchOf(edgeOf({ self: S1B }).one(invite.replaceAll('INVITE', 'CANCEL'))), branch)
  t.not(branchOf(edgeOf().one(swap(invite, 'tag=f1', 'tag=f2'))), branch)
  t.not(branchOf(edgeOf().one(swap(invite, 'rport', 'rport;branch=1'))), branch)
})

t.test('the branch tells the face', async (t) => {
  t.match(branchOf(edgeOf().one(INVITE)), /^z9hG4bKo/)
  t.match(branchOf(edgeOf().one(INVITE, A1, 'inside')), /^z9hG4bKi/)
})

t.test('Max-Forwards', async (t) => {
  const hops = (more: string[]) =>
    parsed(edgeOf().one(wire('INVITE', 'sip:alice@example.com', more))).maxForwards
  t.equal(hops([]), 70, 'added')
  t.equal(hops(['Max-Forwards: 1']), 0)
  t.equal(hops(['Max-Forwards: 255']), 254)
  t.equal(hops(['Max-Forwards: x']), 70, 'what is no number means the default')
  const zero = ['Max-Forwards: 0']
  const { one, receive, taken } = edgeOf()
  t.equal(statusOf(one(wire('INVITE', 'sip:alice@example.com', zero))), 483)
  t.equal(statusOf(one(wire('OPTIONS', 'sip:alice@example.com', zero))), 483)
  t.equal(statusOf(one(wire('OPTIONS', 'sip:192.0.2.1', zero))), 200, 'who asks the node itself is answered')
  receive(wire('ACK', 'sip:alice@example.com', zero))
  t.same(taken(), [])
})

t.test('received and rport: RFC 3261 §18.2.1, RFC 3581 §4', async (t) => {
  const stamp = (via: string, source = ALICE) => {
    const sent = edgeOf().one(swap(INVITE, /^Via: .*$/m, `Via: SIP/2.0/UDP ${via}`), source)
    return parsed(sent).values(H.via)[1]?.slice('SIP/2.0/UDP '.length)
  }
  t.equal(stamp('198.51.100.7:40001;branch=z9hG4bK1'), '198.51.100.7:40001;branch=z9hG4bK1', 'as it says')
  t.equal(stamp('192.168.1.2;branch=z9hG4bK1'), '192.168.1.2;branch=z9hG4bK1;received=198.51.100.7')
  t.equal(stamp('pc;rport;branch=z9hG4bK1'), 'pc;rport=40001;branch=z9hG4bK1;received=198.51.100.7')
  t.equal(
    stamp('pc;received=203.0.113.66;branch=z9hG4bK1'),
    'pc;branch=z9hG4bK1;received=198.51.100.7',
    'the client does not choose where its answers go',
  )
  t.equal(stamp('pc;branch=z9hG4bK1', udp('2001:db8::7', 9)), 'pc;branch=z9hG4bK1;received=2001:db8::7')
})

t.test('a widely spaced start line is respelled', async (t) => {
  const sent = edgeOf().one(
    swap(INVITE, 'INVITE sip:alice@example.com SIP/2.0', 'INVITE   sip:alice@example.com  sip/2.0 '),
  )
  t.match(sent, /^INVITE sip:alice@example\.com SIP\/2\.0\r\nVia:/)
})

t.test('ways out: to a flow, to another node; own Routes go, others stay', async (t) => {
  const { one, receive, outside, inside } = edgeOf()
  const bye = inDialog(wire('BYE', 'sip:bob@203.0.113.9', ['Route: X']))
  const by = (...routes: string[]) => swap(bye, 'Route: X', `Route: ${routes.join(', ')}`)

  receive(by(flow(ALICE, A_OUT), flow(BOB, A_OUT), '<sip:proxy.example.org;lr>'))
  const [out] = outside.sent.splice(0)
  t.same(out?.to, BOB)
  t.match(
    out?.text,
    new RegExp(
      `^BYE sip:bob@203\\.0\\.113\\.9 SIP/2\\.0\r\nVia: SIP/2\\.0/UDP 192\\.0\\.2\\.1:5060;branch=z9hG4bKo${HEX}\r\n`,
    ),
  )
  t.same(parsed(out?.text).values(H.route), ['<sip:proxy.example.org;lr>'])

  receive(by(flow(ALICE, A_OUT), flow(BOB, B_OUT)))
  const [across] = inside.sent.splice(0)
  t.same(across?.to, B_IN)
  t.match(across?.text, /\r\nVia: SIP\/2\.0\/UDP 10\.0\.0\.1:5160;/)
  t.same(parsed(across?.text).values(H.route), [flow(BOB, B_OUT)])

  // And the other node sends it out.
  const other = edgeOf({ self: S1B })
  other.receive(across?.text ?? '', A_IN, 'inside')
  const [there] = other.outside.sent
  t.same(there?.to, BOB)
  t.same(parsed(there?.text).values(H.route), [])
  t.equal(statusOf(one(by('<sip:alice@192.0.2.1;lr>'))), 403)
})

import t from 'tap'
import { type Cluster, type EdgeNode, edgeWorker } from '../../src/partition/cluster.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { parseNameAddr } from '../../src/sip/name-addr.ts'
import { respond } from '../../src/sip/response.ts'
import { Edge } from '../../stage1/edge.ts'
import type { Face } from '../../stage1/route-request.ts'
import {
  A_IN,
  A_OUT,
  A1,
  ALICE,
  B_IN,
  B_OUT,
  B1,
  BOB,
  batch,
  clusterOf,
  FakeTransport,
  KEYS,
  key,
  parsed,
  requestLines,
  S1A,
  S1B,
  text,
  tokens,
  udp,
} from './fixture.ts'

/** An edge between fake transports; group `a` is served, `b` as well unless it is `down`. */
function edgeOf({
  self = S1A,
  cluster = {},
  down = '',
}: {
  self?: EdgeNode
  cluster?: Partial<Cluster>
  down?: string
} = {}) {
  const outside = new FakeTransport(self.outside[0] as Endpoint)
  const inside = new FakeTransport(self.inside[0] as Endpoint)
  const toGroup: { group: string; text: string }[] = []
  const now = clusterOf(cluster)
  const edge = new Edge({
    self: edgeWorker(self, 0),
    outside,
    inside,
    cluster: () => now,
    tokens,
    members: {
      serving: ({ name }) =>
        name === down ? undefined : { send: (text) => toGroup.push({ group: name, text }) },
    },
    log: { debug: () => {} },
  })
  const receive = (wire: string, source: Endpoint = ALICE, face: Face = 'outside') =>
    edge.receive(batch(source, wire), face)
  /** Everything sent since the last call. */
  const taken = () => [...toGroup.splice(0), ...outside.sent.splice(0), ...inside.sent.splice(0)]
  /** What one message made it send. */
  const one = (wire: string, source?: Endpoint, face?: Face) => {
    receive(wire, source, face)
    const [only, ...more] = taken()
    if (!only || more.length > 0) throw new Error(`${more.length + (only ? 1 : 0)} messages instead of one`)
    return only.text
  }
  return { edge, receive, taken, one, outside, inside, toGroup, counters: edge.counters }
}

const HEX = '[0-9a-f]{32}'
const wire = (method: string, uri: string, more?: readonly string[]) => text(requestLines(method, uri, more))
const INVITE = wire('INVITE', 'sip:alice@example.com')
const swap = (message: string, from: string | RegExp, to: string) => {
  const swapped = message.replace(from, to)
  if (swapped === message) throw new Error(`${from} is not there`)
  return swapped
}
const branchOf = (message: string) => parsed(message).topVia?.branch ?? ''
const flow = (to: Endpoint, at: Endpoint) => `<sip:${tokens.mint(to)}@${at.address}:${at.port};lr>`
const statusOf = (message: string) => parsed(message).status
const IN_DIALOG = { from: 'To: <sip:bob@example.com>', to: 'To: <sip:bob@example.com>;tag=t1' }

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
  t.same(edge.counters, { requests: 1, responses: 0, refused: 0, dropped: 0 })
})

t.test(
  'RFC 3261 §16.11: one branch for one transaction of the client, on any node, at any time',
  async (t) => {
    const branch = branchOf(edgeOf().one(INVITE))
    t.equal(branchOf(edgeOf().one(INVITE)), branch, 'another process')
    t.equal(branchOf(edgeOf({ self: S1B }).one(INVITE)), branch, 'another node')
    t.equal(branchOf(edgeOf().one(INVITE, udp('198.51.100.7', 40_009))), branch, 'another port of the client')
    t.equal(branchOf(edgeOf().one(INVITE.replaceAll('INVITE', 'CANCEL'))), branch, 'CANCEL')
    const ack = swap(INVITE.replaceAll('INVITE', 'ACK'), IN_DIALOG.from, IN_DIALOG.to)
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

t.test("Path: the flow of the registration, and nobody else's word", async (t) => {
  const register = (more: string[]) => wire('REGISTER', 'sip:example.com', more)
  const paths = (message: string) => parsed(message).values(H.path)
  const uriOf = (message: string) => parseNameAddr(paths(message)[0] ?? '')?.uri
  const { one } = edgeOf()
  const plain = one(register([]))
  t.equal(paths(plain).length, 1)
  t.match(paths(plain)[0], /^<sip:[\w-]+@10\.0\.0\.1:5160;lr;ob>$/)
  t.same(tokens.open(uriOf(plain)?.user ?? ''), ALICE)
  const forged = one(
    register(['Path: <sip:evil.example.org;lr>', 'X: y', 'path: <sip:1.2.3.4>, <sip:5.6.7.8>']),
  )
  t.same(paths(forged), paths(plain))
  t.match(forged, /\r\nX: y\r\n/)
  const second = one(register(['Via: SIP/2.0/UDP pc;branch=z9hG4bK0']))
  t.match(paths(second)[0], /;lr>$/, 'RFC 5626 §5.1: no ob where we are not the first hop')
  t.same(paths(one(register(['Path: <sip:x@10.0.0.2:5160;lr>']), A1, 'inside')), ['<sip:x@10.0.0.2:5160;lr>'])
  t.notMatch(one(INVITE), /path/i)
})

t.test('Record-Route: on what begins a dialog, once, with the flow on the far side', async (t) => {
  const routes = (message: string) => parsed(message).values(H.recordRoute)
  const { one } = edgeOf()
  for (const method of ['INVITE', 'SUBSCRIBE', 'REFER'])
    t.same(routes(one(wire(method, 'sip:alice@example.com'))), [flow(ALICE, A_OUT)], method)
  for (const method of ['MESSAGE', 'OPTIONS', 'ACK', 'CANCEL', 'REGISTER', 'PUBLISH', 'BYE'])
    t.same(routes(one(wire(method, 'sip:alice@example.com'))), [], method)
  t.same(routes(one(swap(INVITE, IN_DIALOG.from, IN_DIALOG.to))), [], 're-INVITE')
  t.same(routes(one(INVITE, A1, 'inside')), [], 'between group and group')
  const toClient = wire('INVITE', 'sip:bob@203.0.113.9', [
    `Route: ${flow(BOB, A_IN)}`,
    `Record-Route: ${flow(ALICE, B_OUT)}`,
  ])
  t.same(routes(one(toClient, A1, 'inside')), [flow(BOB, A_OUT), flow(ALICE, B_OUT)])
})

t.test('P-Asserted-Identity: believed from inside only, in requests and responses', async (t) => {
  const claim = [
    'P-Asserted-Identity: <sip:boss@example.com>, <tel:+1>',
    'p-asserted-identity: <sip:b@example.com>',
  ]
  const invite = wire('INVITE', 'sip:alice@example.com', claim)
  const { one } = edgeOf()
  t.notMatch(one(invite), /asserted/i)
  t.match(one(invite, A1, 'inside'), /P-Asserted-Identity: <sip:boss@example\.com>, <tel:\+1>/)
  const headers = [[H.assertedIdentity, '<sip:boss@example.com>']] as const
  const toClient = one(wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`]), A1, 'inside')
  t.notMatch(one(respond(parsed(toClient), 200, { headers }) ?? '', BOB), /asserted/i)
  const toGroup = one(INVITE)
  t.match(one(respond(parsed(toGroup), 200, { headers }) ?? '', B1, 'inside'), /P-Asserted-Identity/)
})

t.test('ways out: to a flow, to another node; own Routes go, others stay', async (t) => {
  const { one, receive, outside, inside } = edgeOf()
  const bye = swap(wire('BYE', 'sip:bob@203.0.113.9', ['Route: X']), IN_DIALOG.from, IN_DIALOG.to)
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

t.test('a response goes back the way of its request, its top Via gone', async (t) => {
  const { receive, one, outside, inside, toGroup } = edgeOf()
  receive(INVITE)
  const forwarded = parsed(toGroup.splice(0)[0]?.text)
  for (const status of [180, 200, 486]) {
    receive(respond(forwarded, status) ?? '', B1, 'inside')
    const [back] = outside.sent.splice(0)
    t.same(back?.to, ALICE)
    t.equal(statusOf(back?.text ?? ''), status)
    t.same(parsed(back?.text).values(H.via), [
      'SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bKclient;rport=40001;received=198.51.100.7',
    ])
  }
  t.same(inside.sent, [])

  const toClient = swap(
    wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`]),
    '198.51.100.7:40001',
    '10.0.0.21:5073',
  )
  const atBob = parsed(one(toClient, B1, 'inside'))
  receive(respond(atBob, 200, { body: '\xff\0' }) ?? '', BOB)
  const [back] = inside.sent.splice(0)
  t.same(back?.to, B1)
  t.match(back?.text, /\r\n\r\n\xff\0$/)
  t.same(outside.sent, [])
})

t.test('clients whose answers take thought still get them', async (t) => {
  const answered = (invite: string, source = ALICE) => {
    const { one, receive, outside } = edgeOf()
    receive(respond(parsed(one(invite, source)), 200) ?? '', B1, 'inside')
    return outside.sent[0]?.to
  }
  const via = (value: string) => swap(INVITE, /^Via: .*$/m, `Via: SIP/2.0/UDP ${value}`)
  t.same(answered(via('pc;rport;branch=z9hG4bK1')), ALICE)
  t.same(answered(via('pc:5070;branch=z9hG4bK1')), udp('198.51.100.7', 5070))
  t.same(answered(via('198.51.100.7')), udp('198.51.100.7', 5060), 'RFC 2543')
  t.same(answered(via('[2001:DB8::7]:9;branch=z9hG4bK1'), udp('2001:db8::7', 9)), udp('2001:db8::7', 9))
  const answer = respond(parsed(edgeOf().one(INVITE)), 200) ?? ''
  const rotated = edgeOf({ cluster: { keys: { current: key('new'), previous: KEYS.current } } })
  rotated.receive(answer, B1, 'inside')
  t.same(rotated.outside.sent[0]?.to, ALICE, 'a key was changed meanwhile')
  const stranger = edgeOf({ cluster: { keys: { current: key('new'), previous: undefined } } })
  stranger.receive(answer, B1, 'inside')
  t.same(stranger.taken(), [])
})

t.test('responses to nothing that was sent are dropped and counted', async (t) => {
  const { one, receive, taken, counters } = edgeOf()
  const toClient = one(wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`]), B1, 'inside')
  const inDialog = swap(wire('BYE', 'sip:x', [`Route: ${flow(BOB, A_OUT)}`]), IN_DIALOG.from, IN_DIALOG.to)
  const direct = respond(parsed(one(swap(inDialog, 'sip:x', 'sip:b@203.0.113.9'))), 200) ?? ''
  const fromClient = respond(parsed(toClient), 200) ?? ''
  const fromGroup = respond(parsed(one(INVITE)), 200) ?? ''
  t.ok(one(direct, BOB))
  t.ok(one(fromClient, BOB))
  t.ok(one(fromGroup, B1, 'inside'), 'the unchanged ones pass')
  const before = { ...counters }

  const second = /(?<=\r\nVia: .*\r\nVia: )SIP.*(?=\r\n)/
  const forgeries: [why: string, message: string, face?: Face][] = [
    ['from the group, but at the outside', fromGroup],
    ['from outside, but at the inside', fromClient, 'inside'],
    ['no Via of ours', swap(fromClient, '192.0.2.1:5060', '192.0.2.3:5060')],
    ['another port', swap(fromClient, '192.0.2.1:5060', '192.0.2.1:5061')],
    ['our default port, which we never leave out', swap(fromClient, '192.0.2.1:5060', '192.0.2.1')],
    ['our Via alone', swap(fromClient, /\r\nVia: .*(?=\r\nFrom)/, '')],
    ['another Via below ours', swap(fromClient, second, 'SIP/2.0/UDP 10.0.0.21:5073;branch=z9hG4bKx')],
    ['another sent-by', swap(fromClient, '198.51.100.7:40001', '10.0.0.12:5071')],
    ['another Call-ID', swap(fromClient, 'call-1', 'call-2')],
    ['another CSeq', swap(fromClient, '314', '315')],
    ['another face', swap(fromClient, 'z9hG4bKi', 'z9hG4bKo')],
    ['no face', swap(fromClient, 'z9hG4bKi', 'z9hG4bKx')],
    ['another branch', swap(fromClient, /(?<=z9hG4bKi)./, 'x')],
    ['half a branch', swap(fromClient, /(?<=z9hG4bKi.{16}).{16}/, '')],
    ['to a stranger by the inside face', swap(fromClient, /(?<=received=)[\d.]+/, '203.0.113.66')],
    [
      'to a member by the outside face',
      swap(direct, /rport=\d+;received=[\d.]+/, 'rport=5071;received=10.0.0.11'),
    ],
    ['to a broadcast address', swap(direct, /(?<=received=)[\d.]+/, '255.255.255.255')],
    ['to a name', swap(direct, /(?<=received=)[\d.]+/, 'localhost')],
    ['by another transport', swap(direct, second, 'SIP/2.0/TCP 198.51.100.7:40001;branch=z9hG4bKclient')],
    ['no status', swap(fromClient, '200', '999')],
    ['no CSeq', swap(fromClient, 'CSeq', 'X-CSeq')],
    ['a body that is cut off', swap(fromClient, 'Content-Length: 0', 'Content-Length: 9')],
  ]
  for (const [why, message, face = 'outside'] of forgeries) {
    receive(message, face === 'outside' ? BOB : B1, face)
    t.same(taken(), [], why)
  }
  t.equal(counters.dropped - before.dropped, forgeries.length)
  t.equal(counters.responses - before.responses, forgeries.length)
})

t.test('nobody but the cluster speaks to the inside face', async (t) => {
  const { edge, receive, taken, counters } = edgeOf()
  const forwarded = edgeOf().one(INVITE)
  receive(INVITE, ALICE, 'inside')
  receive(wire('OPTIONS', 'sip:10.0.0.1:5160'), ALICE, 'inside')
  receive(respond(parsed(forwarded), 200) ?? '', ALICE, 'inside')
  t.same(taken(), [])
  t.same(counters, { requests: 0, responses: 0, refused: 0, dropped: 3 })
  edge.receive(batch(ALICE, INVITE, 'noise', INVITE), 'outside')
  t.equal(taken().length, 2, 'one of a batch does not take the others with it')
  t.equal(counters.dropped, 4)
})

t.test('a group without a living member: 503 for its users, and only for them', async (t) => {
  const { one, receive, taken, counters } = edgeOf({ down: 'b' })
  const answer = parsed(one(INVITE))
  t.equal(answer.status, 503)
  const seconds = Number(answer.value(H.retryAfter))
  t.ok(seconds >= 2 && seconds <= 8, `${seconds}`)
  t.match(one(wire('INVITE', 'sip:bob@example.com')), /^INVITE /)
  receive(INVITE.replaceAll('INVITE', 'ACK'))
  t.same(taken(), [], 'an ACK is never answered')
  t.equal(counters.refused, 2)
})

t.test('what is refused is answered where it came from, by the face it came by', async (t) => {
  const { receive, outside, inside, counters } = edgeOf()
  receive(wire('INVITE', 'sip:x@example.org'))
  const [refusal] = outside.sent.splice(0)
  t.same(refusal?.to, ALICE)
  t.match(refusal?.text, /^SIP\/2\.0 403 Relaying Denied\r\nVia: .*;rport=40001;received=198\.51\.100\.7\r\n/)
  receive(wire('INVITE', 'sip:x@example.org'), A1, 'inside')
  t.same(inside.sent.splice(0)[0]?.to, A1)
  receive(wire('ACK', 'sip:x@example.org'))
  t.same([outside.sent, inside.sent], [[], []])
  t.equal(counters.refused, 3)
})

t.test('a malformed request is answered where it can be', async (t) => {
  const { one, receive, taken } = edgeOf()
  const bad: [status: number, message: string][] = [
    [400, swap(INVITE, /CSeq.*\r\n/, '')],
    [400, swap(INVITE, 'CSeq: 314 INVITE', 'CSeq: 314 BYE')],
    [400, swap(INVITE, 'sip:alice@example.com SIP', 'sip:alice@example.com:port SIP')],
    [400, swap(INVITE, 'From: <sip:alice@example.com>', 'From: <sip:alice@')],
    [400, swap(INVITE, 'Content-Length: 0', 'Content-Length: 5')],
    [400, swap(INVITE, 'Via: SIP/2.0/UDP 198.51.100.7:40001', 'Via: SIP/2.0/UDP 198.51.100.7:99999')],
    [400, swap(INVITE, ';rport', ';rport;;')],
    [416, swap(INVITE, 'INVITE sip:alice@example.com', 'INVITE http://example.com')],
    [420, wire('INVITE', 'sip:alice@example.com', ['Proxy-Require: path, teleport'])],
    [505, swap(INVITE, 'SIP/2.0\r\n', 'SIP/3.0\r\n')],
  ]
  for (const [status, message] of bad) {
    t.equal(statusOf(one(message)), status, message.split('\r\n').slice(0, 2).join(' | '))
    const ack = message.replaceAll('INVITE', 'ACK')
    receive(ack)
    // An ACK needs no Proxy-Require (§8.2.2.3).
    t.same(
      taken().filter(({ text }) => !text.startsWith('ACK')),
      [],
      'an ACK is never answered',
    )
  }
  t.match(
    one(wire('INVITE', 'sip:alice@example.com', ['Proxy-Require: path, teleport'])),
    /\r\nUnsupported: teleport\r\n/,
  )
  for (const noise of [
    '',
    '\r\n\r\n',
    '\0',
    'GET / HTTP/1.1\r\n\r\n',
    'INVITE',
    swap(INVITE, /Via.*\r\n/, ''),
  ]) {
    receive(noise)
    t.same(taken(), [], 'there is nobody to answer')
  }
})

t.test('RFC 3261 §11: OPTIONS to the node itself', async (t) => {
  const { one, receive, taken, counters } = edgeOf()
  const answer = one(wire('OPTIONS', 'sip:192.0.2.1:5060'))
  t.equal(statusOf(answer), 200)
  t.match(answer, /\r\nAllow: INVITE, .*\r\nSupported: path, outbound\r\n/)
  t.equal(statusOf(one(wire('OPTIONS', 'sip:10.0.0.1:5160'), A1, 'inside')), 200)
  t.equal(counters.refused, 0)
  t.equal(statusOf(one(wire('INVITE', 'sip:192.0.2.1:5060'))), 404)
  receive(wire('ACK', 'sip:192.0.2.1:5060'))
  t.same(taken(), [])
})

import t from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { parseNameAddr } from '../../src/sip/name-addr.ts'
import { respond } from '../../src/sip/response.ts'
import { Repeater } from '../../stage1/repeater.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { edgeOf, flow, INVITE, inDialog, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A_IN1, A_OUT, A1, ALICE, B1, BOB, BOB_TCP, parsed, S1B, tokens, udp } from './fixture.ts'

/** Alice's connection: the worker that holds it knows it by number 5. */
const ALICE_TCP: Endpoint = { transport: 'tcp', address: '198.51.100.7', port: 40_001, connection: 5 }

const byTcp = (message: string) =>
  swap(message, /^Via: SIP\/2\.0\/UDP .*$/m, 'Via: SIP/2.0/TCP 198.51.100.7:5060;branch=z9hG4bKclient;rport')
const ok = (forwarded: string) => respond(parsed(forwarded), 200) ?? ''
const tcpFlow = (worker: number) => ({ ...BOB_TCP, worker }) as Endpoint
const viaOf = (message: string) => parsed(message).topVia?.text ?? ''
const BYE = inDialog(wire('BYE', 'sip:bob@203.0.113.9', ['Route: X']))

t.test('a response goes back over the connection of its request', async (t) => {
  const { receive, toGroup, outside, taken } = edgeOf({ worker: 1 })
  outside.open.add(5)
  receive(byTcp(INVITE), ALICE_TCP)
  const forwarded = toGroup.splice(0)[0]?.text ?? ''
  t.match(viaOf(forwarded), /^SIP\/2\.0\/UDP 10\.0\.0\.1:5161;branch=\w+;map=7;conn=1\.40001\.5$/)
  t.match(
    parsed(forwarded).values(H.via)[1],
    /;rport=40001;received=198\.51\.100\.7$/,
    'what it came over is told',
  )
  receive(ok(forwarded), B1, 'inside')
  t.same(outside.sent.splice(0)[0]?.to, ALICE_TCP)

  // RFC 3261 §18.2.2: a new one is opened to where the client says it listens.
  outside.open.clear()
  receive(ok(forwarded), B1, 'inside')
  t.same(outside.sent.splice(0)[0]?.to, { transport: 'tcp', address: '198.51.100.7', port: 5060 })
  receive(swap(ok(forwarded), 'TCP 198.51.100.7:5060', 'TCP 192.168.1.2:5060'), B1, 'inside')
  t.same(taken(), [], 'another Via than the one that was signed')
})

t.test('behind a NAT nobody can be reached but over his connection', async (t) => {
  const { receive, toGroup, outside, taken, counters } = edgeOf()
  outside.open.add(5)
  const via = (value: string) => swap(INVITE, /^Via: .*$/m, `Via: SIP/2.0/TCP ${value};branch=z9hG4bKclient`)
  receive(via('192.168.1.2:5060'), ALICE_TCP)
  receive(via('phone.example.net'), ALICE_TCP)
  const [natted = '', named = ''] = toGroup.splice(0).map(({ text }) => text)
  receive(ok(natted), B1, 'inside')
  t.same(outside.sent.splice(0)[0]?.to, ALICE_TCP)
  outside.open.clear()
  receive(ok(natted), B1, 'inside')
  t.same(taken(), [])
  t.equal(counters.dropped, 1)
  receive(ok(named), B1, 'inside')
  t.same(
    outside.sent.splice(0)[0]?.to,
    { transport: 'tcp', address: '198.51.100.7', port: 5060 },
    'a name may be true',
  )
})

t.test('a Via says TCP of what came by UDP, or UDP of what came by TCP', async (t) => {
  const { receive, toGroup, outside, taken } = edgeOf()
  receive(byTcp(INVITE), ALICE)
  receive(ok(toGroup.splice(0)[0]?.text ?? ''), B1, 'inside')
  t.same(taken(), [], 'there is no connection')
  outside.open.add(5)
  receive(INVITE, ALICE_TCP)
  receive(ok(toGroup.splice(0)[0]?.text ?? ''), B1, 'inside')
  t.same(outside.sent[0]?.to, ALICE_TCP, 'where it came from is known')
})

t.test('refusals go back over the connection', async (t) => {
  const { receive, outside } = edgeOf()
  receive(byTcp(wire('INVITE', 'sip:x@example.org')), ALICE_TCP)
  t.same(outside.sent[0]?.to, ALICE_TCP)
  t.match(outside.sent[0]?.text, /^SIP\/2\.0 403 .*\r\nVia: .*;rport=40001;received=198\.51\.100\.7\r\n/)
})

t.test('Path and Record-Route name the connection and its worker, and the transport', async (t) => {
  const { one } = edgeOf({ worker: 1 })
  const mine = { ...ALICE_TCP, worker: 1 }
  const path = parsed(one(byTcp(wire('REGISTER', 'sip:example.com')), ALICE_TCP)).value(H.path) ?? ''
  t.match(path, /@10\.0\.0\.1:5161;lr;ob>$/, 'inside, all goes by UDP')
  t.same(tokens.open(parseNameAddr(path)?.uri?.user ?? ''), mine)
  const route = parsed(one(byTcp(INVITE), ALICE_TCP)).value(H.recordRoute)
  t.equal(route, `<sip:${tokens.mint(mine)}@192.0.2.1:5060;transport=tcp;lr>`)
})

t.test('RFC 5658: each side has a Record-Route of its own transport and version of IP', async (t) => {
  const there = udp('2001:db8::9', 5060)
  const { one, outside } = edgeOf()
  outside.open.add(77)
  const routes = (flow: string, more = '') => {
    const invite = sentBy(
      A1,
      wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow}`, `Record-Route: ${more}`]),
    )
    return parsed(one(invite, A1, 'inside')).values(H.recordRoute)
  }
  const callers = flow(ALICE, A_OUT)
  t.same(routes(flow(there, A_IN), callers), [`<sip:${tokens.mint(there)}@[2001:db8:1::1]:5060;lr>`, callers])
  t.same(routes(flow(tcpFlow(0), A_IN), callers), [
    `<sip:${tokens.mint(tcpFlow(0))}@192.0.2.1:5060;transport=tcp;lr>`,
    callers,
  ])
})

t.test('a call to a phone on a connection reaches it through the worker that has it', async (t) => {
  const invite = sentBy(B1, wire('INVITE', 'sip:bob@192.168.1.5', [`Route: ${flow(tcpFlow(1), A_IN1)}`]))
  const holder = edgeOf({ worker: 1 })
  holder.outside.open.add(77)
  holder.receive(invite, B1, 'inside')
  const [direct] = holder.outside.sent.splice(0)
  t.same(direct?.to, tcpFlow(1), 'the group knows the worker by the Path')
  t.match(viaOf(direct?.text ?? ''), /^SIP\/2\.0\/TCP 192\.0\.2\.1:5060;branch=z9hG4bKi\w+$/)

  // Any worker of any node may be asked.
  for (const other of [edgeOf(), edgeOf({ self: S1B })]) {
    other.receive(invite, B1, 'inside')
    const [across] = other.inside.sent.splice(0)
    t.same(across?.to, A_IN1)
    t.same(other.outside.sent, [])
    holder.receive(across?.text ?? '', other.inside.local, 'inside')
    t.same(holder.outside.sent.splice(0)[0]?.to, tcpFlow(1))
  }
  holder.outside.open.clear()
  t.equal(statusOf(holder.one(invite, B1, 'inside')), 430)
})

t.test(
  'the response to a request between two clients finds the connection, whichever worker it comes to',
  async (t) => {
    const holder = edgeOf()
    const other = edgeOf({ worker: 1 })
    holder.outside.open.add(5)
    const bye = byTcp(swap(BYE, 'Route: X', `Route: ${flow(BOB, A_OUT)}`))
    holder.receive(bye, ALICE_TCP)
    const [sent] = holder.outside.sent.splice(0)
    t.same(sent?.to, BOB)
    t.match(viaOf(sent?.text ?? ''), /^SIP\/2\.0\/UDP 192\.0\.2\.1:5060;branch=\w+;conn=0\.40001\.5$/)
    const answer = ok(sent?.text ?? '')
    other.receive(answer, BOB)
    const [across] = other.inside.sent.splice(0)
    t.same([across?.to, across?.text], [A_IN, answer], 'as it came, to the worker that has the connection')
    t.same(other.outside.sent, [])
    holder.receive(across?.text ?? '', A_IN1, 'inside')
    const [back] = holder.outside.sent.splice(0)
    t.same(back?.to, ALICE_TCP)
    t.equal(parsed(back?.text).values(H.via).length, 1)
    holder.receive(answer, BOB)
    t.same(holder.outside.sent.splice(0)[0]?.to, ALICE_TCP, 'its own it takes itself')

    const before = other.counters.dropped
    other.receive(swap(answer, 'conn=0.', 'conn=7.'), BOB)
    other.receive(swap(answer, 'conn=0.40001.5', 'conn=x'), BOB)
    other.receive(answer, A_IN, 'inside')
    t.same(other.taken(), [], 'there is no such worker, and none passes on what was passed on')
    t.equal(other.counters.dropped - before, 3)
  },
)

t.test('by which transport a response comes is told by our Via', async (t) => {
  const { receive, one, outside, taken } = edgeOf()
  outside.open.add(77)
  const bye = swap(BYE, 'Route: X', `Route: ${flow(tcpFlow(0), A_OUT)}`)
  const answer = ok(one(bye))
  receive(answer, BOB)
  t.same(taken(), [])
  receive(answer, BOB_TCP)
  t.same(outside.sent[0]?.to, ALICE)
})

t.test('RFC 3261 §18.1.1: a long request that nothing binds to UDP goes by TCP', async (t) => {
  const { one, edge, outside, receive, taken } = edgeOf()
  const body = 'x'.repeat(1400)
  const long = (uri: string, more: string[] = []) =>
    sentBy(
      B1,
      swap(wire('MESSAGE', uri, more), 'Content-Length: 0\r\n\r\n', `Content-Length: 1400\r\n\r\n${body}`),
    )
  const wayOf = (message: string) => {
    receive(message, B1, 'inside')
    const [sent] = outside.sent.splice(0)
    return `${sent?.to.transport} ${viaOf(sent?.text ?? '').slice(0, 33)}`
  }
  const TCP = 'tcp SIP/2.0/TCP 192.0.2.1:5060;branch'
  const UDP = 'udp SIP/2.0/UDP 192.0.2.1:5060;branch'
  const there = 'sip:x@203.0.113.9'
  t.equal(wayOf(long(there)), TCP)
  t.equal(wayOf(sentBy(B1, wire('MESSAGE', there))), UDP)
  t.equal(wayOf(long(`${there};transport=udp`)), UDP, 'as it was asked for')
  t.equal(wayOf(long(there, [`Route: ${flow(BOB, A_OUT)}`])), UDP, 'a flow is a flow')
  t.equal(
    one(long(`${there};transport=tcp`), B1, 'inside')
      .split('\r\n')[1]
      ?.slice(0, 32),
    'Via: SIP/2.0/TCP 192.0.2.1:5060;',
  )

  // Where TCP is refused, UDP has to do.
  for (const route of [[], ['Route: <sip:203.0.113.9;lr>']]) {
    receive(long(there, route), B1, 'inside')
    const [byTcp] = outside.sent.splice(0)
    edge.unsent(byTcp?.text ?? '', byTcp?.to as Endpoint)
    const [byUdp] = outside.sent.splice(0)
    t.same(byUdp?.to, udp('203.0.113.9', 5060))
    t.equal(
      byUdp?.text,
      byTcp?.text.replace('SIP/2.0/TCP 192', 'SIP/2.0/UDP 192'),
      'and nothing else differs',
    )
    t.same(edge.counters.unsent > 0 && taken(), [])
  }
})

t.test('what a connection could not send is answered as if the next hop had', async (t) => {
  const { edge, outside, inside, receive, taken } = edgeOf()
  outside.open.add(77)
  const unsent = (request: string) => {
    receive(sentBy(B1, request), B1, 'inside')
    const [sent] = outside.sent.splice(0)
    edge.unsent(sent?.text ?? '', sent?.to as Endpoint)
    const [answer] = inside.sent.splice(0)
    t.same(taken(), [])
    return (
      answer && `${statusOf(answer.text)} ${answer.to.address} ${parsed(answer.text).values(H.via).length}`
    )
  }
  const named = 'sip:bob@203.0.113.9;transport=tcp'
  t.equal(unsent(wire('INVITE', named)), '503 10.0.0.21 1')
  t.equal(
    unsent(wire('INVITE', 'sip:bob@x', [`Route: ${flow(tcpFlow(0), A_IN)}`])),
    '430 10.0.0.21 1',
    'RFC 5626 §5.3',
  )
  t.equal(unsent(wire('ACK', named)), undefined)
  edge.unsent('no SIP', BOB_TCP)
  edge.unsent(ok(byTcp(INVITE)), { ...ALICE_TCP, connection: undefined } as unknown as Endpoint)
  edge.unsent(
    ok(swap(byTcp(INVITE), '198.51.100.7', '192.168.1.2')).replace(';rport', ';rport;received=198.51.100.7'),
    ALICE_TCP,
  )
  t.same(taken(), [], 'there is nobody to be told')
  t.equal(edge.counters.unsent, 6)

  const answer = ok(byTcp(INVITE))
  edge.unsent(answer, ALICE_TCP)
  const there = { transport: 'tcp', address: '198.51.100.7', port: 5060 }
  t.same(outside.sent.splice(0), [{ text: answer, to: there }], 'a response may go by a new connection')

  // Between two clients, the sender hears of it.
  receive(swap(BYE, 'Route: X', `Route: ${flow(tcpFlow(0), A_OUT)}`), ALICE)
  const [bye] = outside.sent.splice(0)
  edge.unsent(bye?.text ?? '', bye?.to as Endpoint)
  t.same([outside.sent[0]?.to, statusOf(outside.sent[0]?.text ?? '')], [ALICE, 430])
})

t.test('what is too long for a datagram is refused, and only as one', async (t) => {
  const big = (uri: string, more: string[] = []) => {
    const message = byTcp(wire('MESSAGE', uri, more))
    const body = 'x'.repeat(65_535 - message.length - 4)
    return swap(message, 'Content-Length: 0\r\n\r\n', `Content-Length: ${body.length}\r\n\r\n${body}`)
  }
  const { one } = edgeOf()
  t.equal(statusOf(one(big('sip:alice@example.com'), ALICE_TCP)), 513, 'inside, there is only UDP')
  t.equal(statusOf(one(big('sip:x@203.0.113.9;transport=udp'), B1, 'inside')), 513)
  t.match(one(big('sip:x@203.0.113.9'), B1, 'inside'), /^MESSAGE .*\r\nVia: SIP\/2\.0\/TCP/)
})

t.test(
  'what a client on a connection does not repeat is repeated for it, to whoever serves by then',
  async (t) => {
    const clock = new FakeClock()
    const { receive, toGroup, outside, inside } = edgeOf({ repeater: new Repeater(clock) })
    outside.open.add(5)
    receive(byTcp(INVITE), ALICE_TCP)
    const [first] = toGroup.splice(0)
    clock.advance(500)
    t.same(toGroup.splice(0), [first])
    receive(respond(parsed(first?.text ?? ''), 100) ?? '', B1, 'inside')
    clock.advance(60_000)
    t.same(toGroup.splice(0), [], 'it has been heard of')
    t.equal(outside.sent.splice(0).length, 1, 'and the caller hears it')

    receive(swap(byTcp(BYE), 'Route: X', `Route: ${flow(BOB, A_OUT)}`), ALICE_TCP)
    clock.advance(60_000)
    t.equal(outside.sent.splice(0).length, 5)
    receive(swap(byTcp(BYE), 'Route: X', `Route: ${flow(tcpFlow(1), A_OUT)}`), ALICE_TCP)
    clock.advance(60_000)
    t.equal(inside.sent.splice(0).length, 5, 'also to another worker')

    receive(byTcp(INVITE.replaceAll('INVITE', 'ACK')), ALICE_TCP)
    receive(INVITE)
    clock.advance(60_000)
    t.equal(toGroup.length, 2, 'neither an ACK nor what came by UDP')
    t.equal(clock.pending, 0)
  },
)

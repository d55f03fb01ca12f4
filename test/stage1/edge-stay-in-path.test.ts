import t from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { parseNameAddr } from '../../src/sip/name-addr.ts'
import { edgeOf, flow, INVITE, inDialog, sentBy, swap, wire } from './edge-desk.ts'
import { A_IN, A_OUT, A1, ALICE, B_OUT, BOB, BOB_TCP, parsed, tokens, udp } from './fixture.ts'

t.test("Path: the flow of the registration, and nobody else's word", async (t) => {
  const register = (more: string[]) => wire('REGISTER', 'sip:example.com', more)
  const paths = (message: string) => parsed(message).values(H.path)
  const uriOf = (message: string) => parseNameAddr(paths(message)[0] ?? '')?.uri
  const { one } = edgeOf()
  const plain = one(register([]))
  t.equal(paths(plain).length, 1)
  t.match(paths(plain)[0], /^<sip:[\w.-]+@10\.0\.0\.1:5160;lr;ob>$/)
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
  t.same(routes(one(inDialog(INVITE))), [], 're-INVITE')
  t.same(routes(one(INVITE, A1, 'inside')), [], 'between group and group')
  const toClient = wire('INVITE', 'sip:bob@203.0.113.9', [
    `Route: ${flow(BOB, A_IN)}`,
    `Record-Route: ${flow(ALICE, B_OUT)}`,
  ])
  t.same(routes(one(toClient, A1, 'inside')), [flow(BOB, A_OUT), flow(ALICE, B_OUT)])
})

const needed = () => edgeOf({ stayInPath: 'needed' })
const AT_ALICE = 'Contact: <sip:alice@198.51.100.7:40001>'

t.test('only where needed: a client that can be reached as he says gets no Path', async (t) => {
  const register = (more: string[]) => wire('REGISTER', 'sip:example.com', more)
  const hasPath = (message: string, source?: Endpoint) => parsed(needed().one(message, source)).has(H.path)
  t.notOk(hasPath(register([AT_ALICE])))
  t.notOk(hasPath(register(['Path: <sip:evil.example.org;lr>', AT_ALICE])), "and nobody else's")
  t.ok(hasPath(register([])), 'he does not say')
  t.ok(hasPath(register(['Contact: *'])))
  t.ok(hasPath(register(['Contact: <sip:alice@192.168.1.2:40001>'])), 'behind a NAT')
  t.ok(hasPath(register(['Contact: <sip:alice@198.51.100.7:5060>'])), 'another port')
  t.ok(hasPath(register(['Contact: <sip:alice@198.51.100.7:40001;transport=tcp>'])), 'another transport')
  t.ok(hasPath(register(['Contact: <sip:alice@pc.example.net>'])), 'a name')
  t.ok(hasPath(register([AT_ALICE, 'Contact: <sip:alice@203.0.113.1>'])), 'more than one place')
  t.ok(
    hasPath(swap(register([AT_ALICE]), '198.51.100.7:40001;branch', 'pc.example.net;branch')),
    'by its Via',
  )
  t.ok(hasPath(register([AT_ALICE]), { ...ALICE, transport: 'tcp', connection: 3 }), 'on a connection')
  t.ok(hasPath(register([`${AT_ALICE};reg-id=1;+sip.instance="<urn:uuid:0>"`])), 'RFC 5626')
  t.ok(hasPath(register([AT_ALICE, 'Supported: path, Outbound'])))
  t.ok(hasPath(register(['Contact: <sip:alice@198.51.100.7:40001;ob>'])))
})

t.test('only where needed: both sides of a dialog pass here, or neither', async (t) => {
  const routes = (message: string) => parsed(message).values(H.recordRoute)
  const fromAlice = (more: string[]) => routes(needed().one(wire('INVITE', 'sip:bob@example.com', more)))
  t.same(fromAlice([AT_ALICE]), [])
  t.same(fromAlice(['Contact: <sip:alice@192.168.1.2>']), [flow(ALICE, A_OUT)])

  const { one, outside } = needed()
  outside.open.add(77)
  const toBob = (uri: string, route: string, more: string[] = [AT_ALICE]) =>
    routes(one(sentBy(A1, wire('INVITE', uri, [`Route: ${route}`, ...more])), A1, 'inside'))
  const direct = flow(BOB, A_IN)
  t.same(toBob('sip:bob@203.0.113.9', direct), [], 'both can be reached')
  t.same(
    toBob('sip:bob@203.0.113.9', direct, [AT_ALICE, `Record-Route: ${flow(ALICE, B_OUT)}`]),
    [flow(BOB, A_OUT), flow(ALICE, B_OUT)],
    'his caller cannot',
  )
  t.same(
    toBob('sip:bob@203.0.113.9', direct, [AT_ALICE, 'Record-Route: <sip:proxy.example.org;lr>']),
    ['<sip:proxy.example.org;lr>'],
    "somebody else's proxy makes no difference",
  )
  t.same(
    toBob('sip:bob@192.168.1.9', direct),
    [flow(BOB, A_OUT), flow(ALICE, A_OUT)],
    'he cannot: also for him',
  )
  const connection = { ...BOB_TCP, worker: 0 } as Endpoint
  t.same(toBob('sip:bob@203.0.113.9:50002;transport=tcp', flow(connection, A_IN)), [
    `<sip:${tokens.mint(connection)}@192.0.2.1:5060;transport=tcp;lr>`,
    flow(ALICE, A_OUT),
  ])
  const v6 = flow(udp('2001:db8::7', 9), A_IN)
  t.same(toBob('sip:bob@192.168.1.9', v6), [
    `<sip:${tokens.mint(udp('2001:db8::7', 9))}@[2001:db8:1::1]:5060;lr>`,
    flow(ALICE, A_OUT),
  ])
})

t.test('what was recorded for the caller brings requests to him', async (t) => {
  const { one, outside, receive } = needed()
  const invite = wire('INVITE', 'sip:bob@192.168.1.9', [`Route: ${flow(BOB, A_IN)}`, AT_ALICE])
  const recorded = parsed(one(sentBy(A1, invite), A1, 'inside')).values(H.recordRoute)
  receive(inDialog(wire('BYE', 'sip:alice@198.51.100.7:40001', [`Route: ${recorded.join(', ')}`])), BOB)
  t.same(outside.sent[0]?.to, ALICE)
})

import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { parseNameAddr } from '../../src/sip/name-addr.ts'
import { edgeOf, flow, INVITE, inDialog, wire } from './edge-desk.ts'
import { A_IN, A_OUT, A1, ALICE, B_OUT, BOB, parsed, tokens } from './fixture.ts'

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
  t.same(routes(one(inDialog(INVITE))), [], 're-INVITE')
  t.same(routes(one(INVITE, A1, 'inside')), [], 'between group and group')
  const toClient = wire('INVITE', 'sip:bob@203.0.113.9', [
    `Route: ${flow(BOB, A_IN)}`,
    `Record-Route: ${flow(ALICE, B_OUT)}`,
  ])
  t.same(routes(one(toClient, A1, 'inside')), [flow(BOB, A_OUT), flow(ALICE, B_OUT)])
})

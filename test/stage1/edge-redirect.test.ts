import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { parseRoute } from '../../src/sip/route.ts'
import { edgeOf, flow, INVITE, inDialog, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_OUT, A1, ALICE, B1, parsed } from './fixture.ts'

const contactOf = (answer: string) => parsed(answer).value(H.contact)
const DIRECT = 'sip:alice@direct.example'

t.test('a new request is answered with where the group is', async (t) => {
  const { one, counters } = edgeOf()
  const answer = one(wire('INVITE', DIRECT))
  t.equal(statusOf(answer), 302)
  t.equal(contactOf(answer), '<sip:alice@direct.example:5073;transport=udp;maddr=10.0.0.21>')
  t.ok(parseRoute(contactOf(answer) ?? ''), 'a good name-addr')
  const other = one(
    wire('MESSAGE', 'sip:+1-555-1234:pw@direct.example;user=phone;transport=tcp;maddr=192.0.2.1'),
  )
  t.equal(contactOf(other), '<sip:+1-555-1234@direct.example:5073;user=phone;transport=udp;maddr=10.0.0.21>')
  const register = wire('REGISTER', 'sip:direct.example')
  const mine = swap(register, 'To: <sip:bob@example.com>', 'To: <sip:bob@direct.example>')
  t.equal(contactOf(one(mine)), '<sip:direct.example:5071;transport=udp;maddr=10.0.0.11>')
  t.equal(statusOf(one(wire('OPTIONS', 'sip:direct.example'))), 200, 'the domain itself is served here')
  t.equal(counters.refused, 0)
  t.match(one(INVITE), /^INVITE /, 'other domains are not concerned')
})

t.test('RFC 3261 §8.2.7: ACK and CANCEL to what was answered here are ignored', async (t) => {
  const { receive, taken } = edgeOf()
  for (const method of ['ACK', 'CANCEL']) receive(wire(method, DIRECT))
  receive(inDialog(wire('ACK', DIRECT)))
  t.same(taken(), [])
})

t.test('what belongs to a dialog, and what our own side sends, passes', async (t) => {
  const { one, receive, outside } = edgeOf()
  t.match(one(inDialog(wire('BYE', DIRECT))), /^BYE /)
  t.match(one(inDialog(wire('CANCEL', DIRECT))), /^CANCEL /)
  t.match(one(sentBy(A1, wire('INVITE', DIRECT)), A1, 'inside'), /^INVITE /)
  receive(inDialog(wire('BYE', DIRECT, [`Route: ${flow(ALICE, A_OUT)}, ${flow(B1, A_OUT)}`])))
  t.equal(statusOf(outside.sent[0]?.text ?? ''), 403, 'a token that leads back in leads nowhere')
})

t.test('a group without a living member redirects nobody', async (t) => {
  t.equal(statusOf(edgeOf({ down: 'b' }).one(wire('INVITE', DIRECT))), 503)
})

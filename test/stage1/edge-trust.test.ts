import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import { edgeOf, flow, INVITE, sentBy, wire } from './edge-desk.ts'
import { A_IN, A1, ALICE, B1, BOB, batch, parsed } from './fixture.ts'

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
  const call = wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`])
  const toClient = one(sentBy(A1, call), A1, 'inside')
  t.notMatch(one(respond(parsed(toClient), 200, { headers }) ?? '', BOB), /asserted/i)
  const toGroup = one(INVITE)
  t.match(one(respond(parsed(toGroup), 200, { headers }) ?? '', B1, 'inside'), /P-Asserted-Identity/)
})

t.test('nobody but the cluster speaks to the inside face', async (t) => {
  const { edge, receive, taken, counters } = edgeOf()
  const forwarded = edgeOf().one(INVITE)
  receive(INVITE, ALICE, 'inside')
  receive(wire('OPTIONS', 'sip:10.0.0.1:5160'), ALICE, 'inside')
  receive(respond(parsed(forwarded), 200) ?? '', ALICE, 'inside')
  t.same(taken(), [])
  t.same(counters, { requests: 0, responses: 0, refused: 0, dropped: 3, unsent: 0, keepAlives: 0 })
  edge.receive(batch(ALICE, INVITE, 'noise and no SIP', INVITE), 'outside')
  t.equal(taken().length, 2, 'one of a batch does not take the others with it')
  t.equal(counters.dropped, 4)
})

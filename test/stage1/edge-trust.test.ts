import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import { edgeOf, flow, INVITE, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A_OUT, A1, ALICE, B_OUT, B1, BOB, batch, parsed } from './fixture.ts'

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

t.test('Record-Routes from outside: foreign ones stay, ours must be of our making', async (t) => {
  const { one } = edgeOf()
  const invite = (...routes: string[]) =>
    wire('INVITE', 'sip:alice@example.com', [`Record-Route: ${routes.join(', ')}`])
  const FOREIGN = '<sip:sbc.example.org;lr>'
  const routes = (message: string) => parsed(message).values(H.recordRoute).slice(1)
  t.same(routes(one(invite(FOREIGN))), [FOREIGN], 'the dialogs of the proxy in front of us')
  const spiral = [FOREIGN, flow(BOB, A_OUT), flow(ALICE, B_OUT)]
  t.same(routes(one(invite(...spiral))), spiral, 'it has passed us before')
  for (const forged of [
    '<sip:192.0.2.1;lr>',
    '<sip:x@10.0.0.2:5160;lr>',
    '<sip:example.com;lr>',
    flow(BOB, B_OUT).replace(/sip:./, 'sip:!'),
  ])
    t.equal(statusOf(one(invite(FOREIGN, forged))), 403, forged)
  t.equal(statusOf(one(invite('<sip:'))), 400)
  t.match(one(sentBy(A1, invite('<sip:192.0.2.1;lr>')), A1, 'inside'), /^INVITE/)
})

t.test('RFC 3325 §7: who wants his identity hidden is not told of outside', async (t) => {
  const { one } = edgeOf()
  const IDENTITY = 'P-Asserted-Identity: <sip:alice@example.com>'
  const toBob = (...more: string[]) =>
    one(
      sentBy(A1, wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`, ...more])),
      A1,
      'inside',
    )
  t.match(toBob(IDENTITY), /P-Asserted-Identity/)
  t.match(toBob(IDENTITY, 'Privacy: none'), /P-Asserted-Identity/)
  t.match(toBob(IDENTITY, 'Privacy: identity'), /P-Asserted-Identity/)
  for (const privacy of ['id', 'header; id;critical', 'ID'])
    t.notMatch(toBob(IDENTITY, `Privacy: ${privacy}`), /P-Asserted-Identity/, privacy)
  const across = wire('INVITE', 'sip:alice@example.com', [IDENTITY, 'Privacy: id'])
  t.match(one(sentBy(A1, across), A1, 'inside'), /P-Asserted-Identity/, 'between our own')
  const headers = [
    [H.assertedIdentity, '<sip:b@example.com>'],
    [H.privacy, 'id'],
  ] as const
  t.notMatch(one(respond(parsed(one(INVITE)), 200, { headers }) ?? '', B1, 'inside'), /P-Asserted/)
})

t.test('what looks like our own parameters in a Via from outside is no concern of anybody', async (t) => {
  const { receive, toGroup, outside } = edgeOf()
  receive(swap(INVITE, ';rport', ';rport;map=99;conn=1.2.3;cred;passed'))
  const [sent] = toGroup.splice(0)
  t.equal(parsed(sent?.text).topVia?.params.replace(/^;branch=\w+/, ''), ';map=7')
  receive(respond(parsed(sent?.text), 200) ?? '', B1, 'inside')
  t.same(outside.sent[0]?.to, ALICE)
})

import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { edgeOf, INVITE, statusOf, swap, wire } from './edge-desk.ts'
import { A1, ALICE, parsed } from './fixture.ts'

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
  t.match(
    answer,
    /\r\nAccept: \*\/\*\r\nAllow: INVITE, .*\r\nSupported: path, outbound\r\nContent-Length: 0\r\n\r\n$/,
  )
  t.equal(statusOf(one(wire('OPTIONS', 'sip:10.0.0.1:5160'), A1, 'inside')), 200)
  t.equal(counters.refused, 0)
  t.equal(statusOf(one(wire('INVITE', 'sip:192.0.2.1:5060'))), 404)
  receive(wire('ACK', 'sip:192.0.2.1:5060'))
  t.same(taken(), [])
})

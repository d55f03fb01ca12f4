import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import type { Face } from '../../stage1/route-request.ts'
import { edgeOf, flow, INVITE, inDialog, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A_OUT, ALICE, B1, BOB, KEYS, key, parsed, udp } from './fixture.ts'

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

  const toClient = sentBy(B1, wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`]))
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
  const { one, receive, taken, inside, counters } = edgeOf()
  const call = wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`])
  const toClient = one(sentBy(B1, call), B1, 'inside')
  const bye = inDialog(wire('BYE', 'sip:x', [`Route: ${flow(BOB, A_OUT)}`]))
  const direct = respond(parsed(one(swap(bye, 'sip:x', 'sip:b@203.0.113.9'))), 200) ?? ''
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
    ['another sent-by', swap(fromClient, '10.0.0.21:5073', '10.0.0.12:5071')],
    ['another Call-ID', swap(fromClient, 'call-1', 'call-2')],
    ['another CSeq', swap(fromClient, '314', '315')],
    ['another face', swap(fromClient, 'z9hG4bKi', 'z9hG4bKo')],
    ['no face', swap(fromClient, 'z9hG4bKi', 'z9hG4bKx')],
    ['another branch', swap(fromClient, /(?<=z9hG4bKi)./, 'x')],
    ['half a branch', swap(fromClient, /(?<=z9hG4bKi.{16}).{16}/, '')],
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
  const marked = swap(fromClient, '10.0.0.21:5073;', '10.0.0.21:5073;received=203.0.113.66;rport=9;')
  receive(marked, BOB)
  t.same(inside.sent.splice(0)[0]?.to, B1, 'inside, only the sent-by counts, which is signed')
  t.equal(counters.dropped - before.dropped, forgeries.length)
  t.equal(counters.responses - before.responses, forgeries.length + 1)
})

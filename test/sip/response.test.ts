import t from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { answerTarget, respond } from '../../src/sip/response.ts'
import { checkResponse } from '../../src/sip/validate.ts'

const source: Endpoint = { transport: 'udp', address: '192.0.2.9', port: 40_000 }

function message(lines: readonly string[], body = ''): Message {
  const parsed = parseMessage(`${lines.join('\r\n')}\r\n\r\n${body}`)
  if (parsed === undefined) throw new Error('not a message')
  return parsed
}

const invite = [
  'INVITE sip:bob@example.com SIP/2.0',
  'v: SIP/2.0/UDP p1.example.com;branch=z9hG4bK2;rport, SIP/2.0/UDP p0.example.com;branch=z9hG4bK1',
  'Record-Route: <sip:p1.example.com;lr>',
  'Via: SIP/2.0/TCP ua.example.com;branch=z9hG4bK0',
  'Record-Route: <sip:p0.example.com;lr>',
  'f: "Alice"\r\n <sip:alice@example.com>;tag=1928301774',
  't: Bob <sip:bob@example.com>',
  'i: a84b4c76e66710@pc33',
  'Timestamp: 54.2',
  'CSeq: 314159 INVITE',
]

t.test('RFC 3261 8.2.6: what is copied, in order', async (t) => {
  t.equal(
    respond(message(invite), 486, { source, toTag: 'a6c85cf' }),
    [
      'SIP/2.0 486 Busy Here',
      'Via: SIP/2.0/UDP p1.example.com;branch=z9hG4bK2;rport=40000;received=192.0.2.9, SIP/2.0/UDP p0.example.com;branch=z9hG4bK1',
      'Via: SIP/2.0/TCP ua.example.com;branch=z9hG4bK0',
      'From: "Alice"\r\n <sip:alice@example.com>;tag=1928301774',
      'To: Bob <sip:bob@example.com>;tag=a6c85cf',
      'Call-ID: a84b4c76e66710@pc33',
      'CSeq: 314159 INVITE',
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
  )
})

t.test('the To tag', async (t) => {
  const tagOf = (text: string | undefined) => parseMessage(text ?? '')?.toTag
  const first = tagOf(respond(message(invite), 404))
  t.match(first, /^[a-z0-9]{6,}$/)
  t.equal(tagOf(respond(message(invite), 404)), first, 'the same for a retransmission')
  t.equal(tagOf(respond(message(invite), 200)), first)
  const other = message(invite.map((line) => line.replace('a84b4c76e66710', 'b84b4c76e66710')))
  t.not(tagOf(respond(other, 404)), first, 'another for another request')
  t.equal(tagOf(respond(message(invite), 100)), undefined, 'none in a 100')
  const inDialog = message(
    invite.map((line) => line.replace('t: Bob <sip:bob@example.com>', 't: <sip:bob@example.com>;tag=x')),
  )
  t.equal(tagOf(respond(inDialog, 481, { toTag: 'y' })), 'x', 'the one that is there stays')
})

t.test('statelessly made tags do not collide', async (t) => {
  const tags = new Set<string | undefined>()
  for (let i = 0; i < 2000; i++) {
    const request = message(invite.map((line) => line.replace('a84b4c76e66710', `call-${i}`)))
    tags.add(parseMessage(respond(request, 404) ?? '')?.toTag)
  }
  t.equal(tags.size, 2000)
})

t.test('Timestamp in a 100 only, Record-Route when asked for', async (t) => {
  const has = (id: number, status: number, recordRoute = false) =>
    parseMessage(respond(message(invite), status, { recordRoute }) ?? '')?.count(id)
  t.equal(has(H.timestamp, 100), 1)
  t.equal(has(H.timestamp, 200), 0)
  t.equal(has(H.recordRoute, 200), 0)
  const text = respond(message(invite), 200, { recordRoute: true })
  t.same(parseMessage(text ?? '')?.values(H.recordRoute), [
    '<sip:p1.example.com;lr>',
    '<sip:p0.example.com;lr>',
  ])
})

t.test('reason, headers by id and by name, a body', async (t) => {
  const text = respond(message(invite), 503, {
    reason: 'Draining',
    headers: [
      [H.retryAfter, '7'],
      ['X-Why', 'maintenance'],
    ],
    body: 'gone\xff',
    contentType: 'text/plain',
  })
  const response = parseMessage(text ?? '')
  t.same(
    [response?.status, response?.reason, response?.body, response?.contentLength],
    [503, 'Draining', 'gone\xff', 5],
  )
  t.equal(response?.value(H.retryAfter), '7')
  t.equal(response?.valueOf('x-why'), 'maintenance')
  t.equal(response?.value(H.contentType), 'text/plain')
  t.equal(response && checkResponse(response), undefined)
})

t.test('what is not answered', async (t) => {
  t.equal(respond(message(invite.map((line) => line.replace(/INVITE/, 'ACK'))), 400), undefined, 'an ACK')
  t.equal(
    respond(message(invite.filter((line) => !/^v/i.test(line))), 400),
    undefined,
    'a request without Via',
  )
  t.equal(respond(message(['SIP/2.0 200 OK', ...invite.slice(1)]), 400), undefined, 'a response')
})

t.test('a malformed request is answered as far as its headers go', async (t) => {
  const text = respond(
    message([
      'INVITE sip:b@c SIP/2.0',
      'CSeq: 193942 INVITE',
      'Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj',
    ]),
    400,
  )
  t.equal(
    text,
    'SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj\r\nCSeq: 193942 INVITE\r\nContent-Length: 0\r\n\r\n',
  )
})

t.test('where an answer goes (RFC 3261 18.2.2, RFC 3581)', async (t) => {
  const target = (via: string, from = source) =>
    answerTarget(message(['OPTIONS sip:a@b SIP/2.0', `Via: ${via}`]), from)
  const at = (port: number) => ({ transport: 'udp', address: '192.0.2.9', port })
  t.same(target('SIP/2.0/UDP h.example.com:5070;branch=z'), at(5070))
  t.same(target('SIP/2.0/UDP h.example.com;branch=z'), at(5060))
  t.same(target('SIP/2.0/UDP h.example.com:5070;branch=z;rport'), at(40_000))
  t.same(target('SIP/2.0/UDP 192.0.2.15:5050;;,;,,'), at(5050), 'the sent-by of a Via with bad parameters')
  t.same(target('garbage'), at(40_000))
  t.same(target('SIP/2.0/SCTP h.example.com;branch=z'), at(40_000))
  const tcp: Endpoint = { ...source, transport: 'tcp' }
  t.same(target('SIP/2.0/TCP h.example.com:5070;branch=z', tcp), tcp, 'back on the connection')
})

t.test('a parameter behind a trailing semicolon', async (t) => {
  // Phones end a header with one; a second would make the answer malformed.
  const lines = [
    'OPTIONS sip:a@b SIP/2.0',
    'Via: SIP/2.0/UDP h;branch=z9hG4bK1;',
    'To: <sip:a@b>;',
    'CSeq: 1 OPTIONS',
  ]
  const response = parseMessage(respond(message(lines), 200, { source, toTag: 'x' }) ?? '')
  t.equal(response?.value(H.via), 'SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.9')
  t.equal(response?.value(H.to), '<sip:a@b>;tag=x')
})

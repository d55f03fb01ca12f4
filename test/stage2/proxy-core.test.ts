import t from 'tap'
import { H } from '../../src/sip/header.ts'
import type { Message } from '../../src/sip/message.ts'
import { cancelOf } from '../sip/transaction/bench.ts'
import { binding, edgeInside, here } from '../support/cluster.ts'
import { settled } from '../support/fake-transport.ts'
import { MemberBench, read, subscriber } from '../support/member-bench.ts'

const PATH = '<sip:token@192.0.2.60:5160;lr;ob>'
const PHONE = 'sip:bob@10.1.2.3:5062;transport=udp'
let branches = 0

interface Parts {
  readonly uri?: string
  readonly via?: string
  readonly more?: string
  readonly body?: string
}

function request(method: string, parts: Parts = {}): string {
  const { uri = 'sip:bob@example.com', more = 'Max-Forwards: 69\r\n', body = '' } = parts
  const via = parts.via ?? `SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKo${++branches};map=1`
  return (
    `${method} ${uri} SIP/2.0\r\nVia: ${via}\r\nv: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\n${more}` +
    'From: <sip:alice@example.net>;tag=a\r\nTo: Bob\r\n <sip:bob@example.com>\r\ni: call-1\r\n' +
    `CSeq: 1 ${method}\r\nX-Other:  kept,as is\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  )
}

/** A member where bob is registered through a Path. */
function withBob(): MemberBench {
  const bench = new MemberBench()
  bench.location.adopt(binding(PHONE, bench.clock.now(), { path: [PATH] }))
  return bench
}

/** The one request that was sent, with where it went. */
function forwarded(bench: MemberBench): { message: Message; text: string; port: number } | undefined {
  const sent = bench.take().filter(({ text }) => !text.startsWith('SIP/2.0'))
  const [first] = sent
  return first && { message: read(first.text), text: first.text, port: first.to.port }
}

t.test('§16.6: the copy differs in what a hop has to change, and in nothing else', async (t) => {
  const bench = withBob()
  const body = 'v=0\r\n\0\xff'
  const text = request('INVITE', { body })
  await bench.receive(text)
  const out = forwarded(bench)
  const via = out?.message.value(H.via) ?? ''
  t.match(via, /^SIP\/2\.0\/UDP 192\.0\.2\.71:5071;branch=z9hG4bK[0-9a-f]{24}$/)
  const expected = text
    .replace('sip:bob@example.com SIP/2.0', `${PHONE} SIP/2.0`)
    .replace('Via:', `Via: ${via}\r\nVia:`)
    .replace('Max-Forwards: 69\r\n', `Route: ${PATH}\r\nMax-Forwards: 68\r\n`)
  t.equal(out?.text, expected)
  t.equal(out?.port, edgeInside.port, 'to the first of its Path')
  await bench.answer(out?.text ?? '', 486)
  await bench.assertEmpty(t)
})

t.test('a Path goes before a Route that is there', async (t) => {
  const bench = withBob()
  await bench.receive(request('MESSAGE', { more: 'Route: <sip:192.0.2.99;lr>\r\n' }))
  const out = forwarded(bench)
  t.strictSame(out?.message.values(H.route), [PATH, '<sip:192.0.2.99;lr>'])
  await bench.assertEmpty(t)
})

t.test('each binding has a branch and a Path of its own', async (t) => {
  const bench = withBob()
  const other = '<sip:other@192.0.2.61:5160;lr>'
  bench.location.adopt(binding('sip:bob@10.9.9.9', bench.clock.now(), { path: [other] }))
  await bench.receive(request('INVITE'))
  const sent = bench.take().filter(({ text }) => text.startsWith('INVITE'))
  t.strictSame(
    sent.map(({ text, to }) => [read(text).requestUri, read(text).value(H.route), to.address]),
    [
      [PHONE, PATH, '192.0.2.60'],
      ['sip:bob@10.9.9.9', other, '192.0.2.61'],
    ],
  )
  t.not(read(sent[0]?.text ?? '').topVia?.branch, read(sent[1]?.text ?? '').topVia?.branch)
  await bench.assertEmpty(t)
})

t.test('§18.2.1: the Via of the sender gets the address that it came from', async (t) => {
  const bench = withBob()
  await bench.receive(request('MESSAGE', { via: 'SIP/2.0/UDP edge.example.com:5160;branch=z9hG4bKn;rport' }))
  const out = forwarded(bench)
  t.equal(
    out?.message.values(H.via)[1],
    'SIP/2.0/UDP edge.example.com:5160;branch=z9hG4bKn;rport=5160;received=192.0.2.60',
  )
  await bench.assertEmpty(t)
})

t.test('Max-Forwards: one less; 70 where there is none; 0 gets 483', async (t) => {
  const hops = async (more: string) => {
    const bench = withBob()
    await bench.receive(request('MESSAGE', { more }))
    const [answer] = bench.takeMessages()
    await bench.assertEmpty(t)
    return answer?.isRequest ? answer.value(H.maxForwards) : answer?.status
  }
  t.equal(await hops('Max-Forwards: 1\r\n'), '0')
  t.equal(await hops(''), '70')
  t.equal(await hops('Max-Forwards: 999\r\n'), '70', 'RFC 4475 §3.1.2.4: out of range: as if absent')
  t.equal(await hops('Max-Forwards: 0\r\n'), 483)
})

t.test('what a proxy must understand and does not gets 420', async (t) => {
  const bench = withBob()
  await bench.receive(request('MESSAGE', { more: 'Proxy-Require: path, unheard-of\r\nRequire: x\r\n' }))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 420)
  t.equal(response?.value(H.unsupported), 'unheard-of')
  await bench.assertEmpty(t)
})

t.test('480 for who is not registered, 404 for who does not exist', async (t) => {
  const bench = new MemberBench()
  bench.directory.put(subscriber('bob'))
  await bench.receive(request('INVITE'))
  t.strictSame(bench.takeWords(), ['100', '480'])
  await bench.receive(request('INVITE', { uri: 'sip:nobody@example.com' }))
  t.strictSame(bench.takeWords(), ['100', '404'])
  await bench.receive(request('MESSAGE', { uri: 'sip:nobody@example.com' }))
  t.strictSame(bench.takeWords(), ['404'])
  bench.clock.advance(400_000)
  await bench.assertEmpty(t)
})

t.test('503 when nobody knows; but who is in memory is called without PostgreSQL', async (t) => {
  const bench = withBob()
  bench.readThrough = () => Promise.reject(new Error('PostgreSQL is gone'))
  await bench.receive(request('MESSAGE', { uri: 'sip:carol@example.com' }))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.ok(response?.has(H.retryAfter))
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords(), ['MESSAGE'])
  await bench.assertEmpty(t)
})

t.test('a binding that has ended is not called', async (t) => {
  const bench = withBob()
  bench.directory.put(subscriber('bob'))
  bench.clock.advance(3_600_000)
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords(), ['480'])
  await bench.assertEmpty(t)
})

t.test('CANCEL while it is asked whether there is such a user', async (t) => {
  const bench = new MemberBench()
  let know: () => void = () => {}
  bench.readThrough = () =>
    new Promise((resolve) => {
      know = () => resolve(subscriber('bob'))
    })
  const invite = request('INVITE')
  await bench.receive(invite)
  await bench.receive(cancelOf(invite))
  know()
  await settled()
  t.strictSame(bench.takeWords(), ['100', '200', '480'])
  await bench.assertEmpty(t)
})

t.test('the answer of the phone goes back to who sent the request', async (t) => {
  const bench = withBob()
  await bench.receive(request('INVITE'))
  const out = forwarded(bench)
  await bench.answer(out?.text ?? '', 200)
  const [sent] = bench.take()
  t.strictSame(sent?.to, edgeInside)
  t.equal(read(sent?.text ?? '').count(H.via), 2)
  await bench.assertEmpty(t)
})

t.test('an ACK to a 2xx goes on without a transaction, and is never answered', async (t) => {
  const bench = withBob()
  await bench.receive(request('ACK'))
  const out = forwarded(bench)
  t.equal(out?.message.requestMethod, 'ACK')
  t.equal(out?.message.requestUri, PHONE)
  t.equal(out?.message.value(H.maxForwards), '68')
  t.equal(out?.message.topVia?.host, here.address)
  t.equal(bench.layer.open, 0)
  await bench.receive(request('ACK', { more: 'Max-Forwards: 0\r\n' }))
  t.strictSame(bench.take(), [], 'no hops left')
  bench.readThrough = () => Promise.reject(new Error('PostgreSQL is gone'))
  await bench.receive(request('ACK', { uri: 'sip:nobody@example.com' }))
  t.strictSame(bench.take(), [], 'nobody there, and nobody is asked')
  await bench.assertEmpty(t)
})

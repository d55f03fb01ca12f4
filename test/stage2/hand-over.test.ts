import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import { binding, edgeInside, here, testCluster, udp } from '../support/cluster.ts'
import { settled } from '../support/fake-transport.ts'
import { MemberBench, read } from '../support/member-bench.ts'

const ALL_B = [{ first: 0, last: 16_383, group: 'b' }]
const ownerB = udp('192.0.2.72', 5071)

/** As stage 1 sends it, chosen by version `map`. */
const request = (method: string, map = 1, more = '') =>
  `${method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKo1${more};map=${map}\r\n` +
  'Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKphone\r\nMax-Forwards: 69\r\nFrom: <sip:alice@example.com>;tag=a\r\n' +
  `To: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 ${method}\r\nContent-Length: 0\r\n\r\n`

t.test('what an older map sends here is passed on to the owner, in the same transaction', async (t) => {
  const bench = new MemberBench({ cluster: testCluster({ ranges: ALL_B, insiders: [ownerB.address] }) })
  for (const method of ['INVITE', 'CANCEL', 'ACK']) {
    await bench.receive(request(method, 0))
    const [sent] = bench.take()
    t.strictSame(sent?.to, ownerB, method)
    const copy = read(sent?.text ?? '')
    t.equal(copy.requestMethod, method)
    t.equal(copy.topVia?.branch, 'z9hG4bKo1', 'as stage 1 named it')
    t.equal(copy.topVia?.host, here.address)
    t.equal(copy.maxForwards, 68)
    t.equal(copy.values(H.via).length, 3)
  }
  await bench.receive(request('INVITE', 0))
  const [invite] = bench.take()
  await bench.receive(respond(read(invite?.text ?? ''), 180, { toTag: 'b' }) ?? '', ownerB)
  const [answer] = bench.take()
  t.strictSame(answer?.to, udp('192.0.2.60', 5160), 'back to the edge')
  t.equal(read(answer?.text ?? '').status, 180)
  t.equal(read(answer?.text ?? '').values(H.via).length, 2)
  await bench.assertEmpty(t)
})

t.test('but only once', async (t) => {
  const bench = new MemberBench({ cluster: testCluster({ ranges: ALL_B }) })
  await bench.receive(request('MESSAGE', 1, ';passed'))
  const [answer] = bench.takeMessages()
  t.equal(answer?.status, 503)
  t.ok(answer?.has(H.retryAfter))
  await bench.assertEmpty(t)
})

t.test('under a newer map of stage 1, that one is read first', async (t) => {
  const bench = new MemberBench({ cluster: testCluster({ ranges: ALL_B }) })
  bench.location.adopt(binding('sip:bob@10.0.0.1', bench.clock.now(), { path: ['<sip:192.0.2.60:5160;lr>'] }))
  let reads = 0
  bench.refreshMap = async () => {
    reads++
    bench.cluster = testCluster({ version: 2 })
  }
  await bench.receive(request('MESSAGE', 2))
  await settled()
  t.equal(reads, 1)
  t.strictSame(bench.takeWords(), ['MESSAGE'], 'bob is ours by now')
  await bench.assertEmpty(t)
})

t.test('a map that cannot be read holds a request once, and not for long', async (t) => {
  const bench = new MemberBench({ cluster: testCluster() })
  bench.location.adopt(binding('sip:bob@10.0.0.1', bench.clock.now(), { path: ['<sip:192.0.2.60:5160;lr>'] }))
  bench.refreshMap = () => new Promise(() => {})
  await bench.receive(request('MESSAGE', 9))
  t.strictSame(bench.takeWords(), [])
  bench.clock.advance(2_000)
  await settled()
  t.strictSame(bench.takeWords(), ['MESSAGE'])
  await bench.assertEmpty(t)
})

t.test('a user who has just become ours is served when his rows are read', async (t) => {
  const bench = new MemberBench({ cluster: testCluster() })
  let read = () => {}
  bench.filling = () =>
    new Promise((resolve) => {
      read = resolve
    })
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords(), [])
  bench.location.adopt(binding('sip:bob@10.0.0.1', bench.clock.now(), { path: ['<sip:192.0.2.60:5160;lr>'] }))
  read()
  await settled()
  t.strictSame(bench.takeWords(), ['MESSAGE'])
  await bench.assertEmpty(t)
})

t.test('a response that names us but that we never passed on goes nowhere', async (t) => {
  const bench = new MemberBench()
  const via = (host: string, more = '') => `Via: SIP/2.0/UDP ${host};branch=z9hG4bKx${more}\r\n`
  const rest =
    'From: <sip:a@b>;tag=a\r\nTo: <sip:a@b>;tag=b\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n'
  await bench.receive(`SIP/2.0 200 OK\r\n${via(`${here.address}:${here.port}`)}${via('192.0.2.60')}${rest}`)
  await bench.receive(
    `SIP/2.0 200 OK\r\n${via('192.0.2.99', ';passed')}${via('192.0.2.60')}${rest}`,
    edgeInside,
  )
  t.strictSame(bench.take(), [])
  await bench.assertEmpty(t)
})

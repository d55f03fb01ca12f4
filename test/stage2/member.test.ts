import t from 'tap'
import { slotOf } from '../../src/partition/slot.ts'
import { H } from '../../src/sip/header.ts'
import { ackTo, cancelOf } from '../sip/transaction/bench.ts'
import { binding, edgeInside, here, testCluster, udp } from '../support/cluster.ts'
import { batchOf, settled } from '../support/fake-transport.ts'
import { MemberBench, subscriber } from '../support/member-bench.ts'

let branches = 0

function request(
  method: string,
  uri = 'sip:bob@example.com',
  more = '',
  to = '<sip:bob@example.com>',
): string {
  return (
    `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKm${++branches}\r\n` +
    `Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: ${to}\r\nCall-ID: call-${branches}\r\n` +
    `CSeq: 1 ${method}\r\n${more}Content-Length: 0\r\n\r\n`
  )
}

const PROBE = request('OPTIONS', `sip:${here.address}:${here.port}`).replace(
  'Max-Forwards: 70',
  'Max-Forwards: 0',
)

/** A member where bob is registered. */
function withBob(...options: ConstructorParameters<typeof MemberBench>): MemberBench {
  const bench = new MemberBench(...options)
  bench.takeover.whenFresh(() => {})
  bench.location.adopt(binding('sip:bob@10.0.0.1', bench.clock.now(), { path: ['<sip:192.0.2.60:5160;lr>'] }))
  return bench
}

t.test('whoever is not of the cluster is not heard', async (t) => {
  const bench = withBob()
  for (const text of [request('INVITE'), PROBE, 'SIP/2.0 200 OK\r\n\r\n', 'hello']) {
    await bench.receive(text, udp('203.0.113.99'))
  }
  t.strictSame(bench.take(), [])
  t.match(bench.member.counters, { untrusted: 4, requests: 0, malformed: 0 })
  await bench.assertEmpty(t)
})

t.test('what is no SIP is dropped and counted', async (t) => {
  const bench = withBob()
  for (const text of ['', '\r\n\r\n', 'hello\r\n', '\0\xff']) await bench.receive(text)
  await bench.receive('SIP/2.0 200 OK\r\nVia: ??\r\n\r\n')
  t.strictSame(bench.take(), [])
  t.equal(bench.member.counters.malformed, 5)
  await bench.assertEmpty(t)
})

t.test('a malformed request is answered without a transaction, and counted', async (t) => {
  const bench = withBob()
  await bench.receive(request('INVITE').replace(/^From.*\r\n/m, ''))
  t.strictSame(bench.takeWords(), ['400'])
  t.equal(bench.layer.entries, 0)
  t.match(bench.member.counters, { requests: 1, refused: 1 })
  await bench.receive(request('ACK').replace(/^From.*\r\n/m, ''))
  t.strictSame(bench.take(), [], 'but an ACK never')
  await bench.assertEmpty(t)
})

t.test('a batch brings many', async (t) => {
  const bench = withBob()
  bench.member.receive(batchOf(edgeInside, request('MESSAGE'), 'garbage', PROBE))
  await settled()
  t.strictSame(bench.takeWords().sort(), ['200', 'MESSAGE'])
  await bench.assertEmpty(t)
})

t.test('a probe is answered by what the member is doing, without a transaction', async (t) => {
  const bench = withBob()
  for (const [state, status] of [
    ['loading', 503],
    ['serving', 200],
    ['degraded', 200],
    ['draining', 503],
    ['stopping', 503],
  ] as const) {
    bench.member.state = state
    await bench.receive(PROBE)
    const [response] = bench.takeMessages()
    t.equal(response?.status, status, state)
    t.equal(response?.has(H.retryAfter), status === 503)
  }
  t.equal(bench.layer.entries, 0)
  bench.member.state = 'draining'
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords().at(-1), 'MESSAGE', 'draining, it serves those who have not heard yet')
  bench.member.state = 'serving'
  await bench.receive(request('MESSAGE', `sip:${here.address}:${here.port}`))
  t.strictSame(bench.takeWords(), ['404'], 'there is nobody but probes to talk to')
  await bench.assertEmpty(t)
})

t.test('after a standstill no registration is taken that others may have answered long ago', async (t) => {
  const bench = withBob()
  bench.standstill.isRecent = true
  await bench.receive(request('REGISTER', 'sip:example.com'))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.equal(response?.has(H.retryAfter), true)
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords().at(-1), 'MESSAGE', 'all else goes on')
  await bench.assertEmpty(t)
})

t.test('a probe does not wait for a takeover, and causes none', async (t) => {
  const bench = new MemberBench()
  let refreshes = 0
  bench.refresh = () => {
    refreshes++
    return new Promise(() => {})
  }
  await bench.receive(PROBE)
  t.strictSame(bench.takeWords(), ['200'])
  t.equal(refreshes, 0)
  await bench.receive(request('MESSAGE'))
  t.equal(refreshes, 1)
  t.strictSame(bench.takeWords(), [], 'a request does')
  await bench.receive(PROBE)
  t.strictSame(bench.takeWords(), ['200'])
  bench.clock.advance(300)
  await settled()
  t.strictSame(bench.takeWords(), ['404'])
  await bench.assertEmpty(t)
})

t.test('who loads refuses with 503 before anything is looked up, and never an ACK', async (t) => {
  const bench = withBob()
  bench.member.state = 'loading'
  bench.clock.advance(5000)
  bench.refresh = () => Promise.reject(new Error('not loaded'))
  await bench.receive(request('INVITE'))
  t.strictSame(bench.takeWords(), ['503'])
  await bench.receive(request('ACK'))
  t.strictSame(bench.take(), [])
  t.equal(bench.clock.pending, 0, 'and begins no refresh')
  await bench.assertEmpty(t)
})

t.test('who stops takes nothing new, and what is open goes on', async (t) => {
  const bench = withBob()
  const invite = request('INVITE')
  await bench.receive(invite)
  const [, out] = bench.take()
  await bench.answer(out?.text ?? '', 180)
  bench.take()
  bench.member.state = 'stopping'
  await bench.receive(request('INVITE'))
  await bench.receive(request('REGISTER'))
  t.strictSame(bench.takeWords(), ['503', '503'])
  await bench.receive(invite)
  t.strictSame(bench.takeWords(), ['180'], 'a copy is a copy')
  await bench.receive(cancelOf(invite))
  t.strictSame(bench.takeWords(), ['200', 'CANCEL'])
  await bench.answer(out?.text ?? '', 487)
  t.strictSame(bench.takeWords(), ['ACK', '487'])
  await bench.receive(ackTo(invite, 'bob'))
  t.strictSame(bench.takeWords(), [])
  await bench.assertEmpty(t)
})

t.test('a member never answers for a user of another group', async (t) => {
  const cluster = testCluster({
    ranges: [
      { first: 0, last: 8191, group: 'a' },
      { first: 8192, last: 16_383, group: 'b' },
    ],
  })
  const users = ['bob', 'alice', 'carol', 'dave']
  const foreign = users.find((user) => cluster.map.ownerOf(user).name === 'b') ?? ''
  const own = users.find((user) => cluster.map.ownerOf(user).name === 'a') ?? ''
  const bench = new MemberBench({ cluster })
  bench.location.adopt(
    binding('sip:x@10.0.0.1', bench.clock.now(), {
      aor: `${foreign}@example.com`,
      path: ['<sip:192.0.2.60>'],
    }),
  )
  await bench.receive(
    request('MESSAGE', `sip:${foreign}@example.com`).replace(/(branch=[^\r]*)/, '$1;passed'),
  )
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.equal(response?.reason, 'Not The Owner')
  t.ok(response?.has(H.retryAfter))
  await bench.receive(request('REGISTER', 'sip:example.com', '', `<sip:${foreign}@example.com>`))
  t.strictSame(bench.takeWords(), ['REGISTER'], 'passed on to its owner')
  await bench.receive(request('MESSAGE', `sip:${own}@example.com`))
  t.strictSame(bench.takeWords(), ['404'])
  await bench.assertEmpty(t)
})

t.test('a user belongs to whom the map says: by pin, and by user and domain', async (t) => {
  const b = [{ first: 0, last: 16_383, group: 'b' }]
  const pinned = new MemberBench({
    cluster: testCluster({ ranges: b, pins: [{ kind: 'user', value: 'bob', group: 'a' }] }),
  })
  await pinned.receive(request('MESSAGE', 'sip:%62ob@example.com'))
  await pinned.receive(request('MESSAGE', 'sip:carol@example.com'))
  await settled()
  t.strictSame(pinned.takeWords().sort(), ['404', 'MESSAGE'], 'carol is passed on')
  await pinned.assertEmpty(t)

  const slots = slotOf('bob@example.com')
  const bench = new MemberBench({
    cluster: testCluster({
      hashBy: 'user@domain',
      ranges: [
        { first: 0, last: slots - 1, group: 'b' },
        { first: slots, last: slots, group: 'a' },
        { first: slots + 1, last: 16_383, group: 'b' },
      ],
    }),
  })
  await bench.receive(request('REGISTER', 'sip:example.com', 'Contact: <sip:bob@10.0.0.1>\r\n'))
  t.strictSame(bench.takeWords(), ['200'])
  t.equal(bench.written[0]?.[0]?.slot, slots)
  await bench.assertEmpty(t)
})

t.test('whom a request is for: To of a REGISTER, the Request-URI of others', async (t) => {
  const bench = withBob()
  bench.directory.put(subscriber('carol'))
  const status = async (text: string) => {
    await bench.receive(text)
    return bench.takeWords().at(-1)
  }
  t.equal(await status(request('REGISTER', 'sip:anything.example', '', '<sip:bob@example.com>')), '200')
  t.equal(await status(request('REGISTER', 'sip:example.com', '', '<sip:bob@elsewhere.net>')), '404')
  t.equal(await status(request('REGISTER', 'sip:example.com', '', '<sip:example.com>')), '404')
  t.equal(await status(request('REGISTER', 'sip:example.com', '', '<tel:+15551234>')), '400')
  t.equal(await status(request('MESSAGE', 'sip:carol@EXAMPLE.COM:5062;x')), '480')
  t.equal(await status(request('MESSAGE', 'sip:bob@elsewhere.net')), '404')
  t.equal(await status(request('MESSAGE', 'sip:example.com')), '404')
  t.equal(await status(request('MESSAGE', 'tel:+15551234')), '404')
  await bench.assertEmpty(t)
})

t.test('a CANCEL that cancels nothing gets 481', async (t) => {
  const bench = withBob()
  await bench.receive(request('CANCEL'))
  t.strictSame(bench.takeWords(), ['481'])
  bench.member.state = 'stopping'
  await bench.receive(request('CANCEL'))
  t.strictSame(bench.takeWords(), ['481'])
  await bench.assertEmpty(t)
})

t.test('too many transactions: 503 with Retry-After, for the time being', async (t) => {
  const bench = withBob({ layer: { maxTransactions: 2 } })
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords(), ['MESSAGE'])
  await bench.receive(request('MESSAGE'))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.ok(response?.has(H.retryAfter))
  bench.clock.advance(64_000)
  bench.takeover.whenFresh(() => {})
  await settled()
  bench.take()
  await bench.receive(request('MESSAGE'))
  t.strictSame(bench.takeWords(), ['MESSAGE'])
  await bench.assertEmpty(t)
})

t.test('answers that nobody waits for are dropped', async (t) => {
  const bench = withBob()
  const stray =
    'SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.71:5071;branch=z9hG4bKnone\r\nFrom: <sip:a@x>;tag=1\r\n' +
    'To: <sip:b@x>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n'
  await bench.receive(stray)
  t.strictSame(bench.take(), [])
  t.equal(bench.layer.counters.strayResponses, 1)
  await bench.assertEmpty(t)
})

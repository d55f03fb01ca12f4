import t from 'tap'
import type { Endpoint } from '../../../src/sip/endpoint.ts'
import { newBranch } from '../../../src/sip/transaction/branch.ts'
import { ackTo, Bench, parsed, peer, requestText, responseTo, tcpPeer } from './bench.ts'

const rejected = { serve: /no transaction|served already/, request: /no client transaction/ }

t.test('at maxTransactions new requests are refused, and nothing else', async (t) => {
  const bench = new Bench({ maxTransactions: 2 })
  const invite = requestText('INVITE')
  bench.receive(invite)
  bench.request(requestText('INVITE'))
  bench.receive(requestText('OPTIONS'))
  t.equal(bench.serving.length, 1)
  t.equal(bench.layer.counters.refused, 1)
  t.equal(bench.layer.open, 2)

  bench.request(requestText('OPTIONS'))
  t.equal(bench.layer.open, 3, 'what is open may go on')
  bench.receive(invite)
  bench.serving[0]?.reply(486)
  bench.receive(ackTo(invite, 'x'))
  t.equal(bench.serving[0]?.state, 'confirmed')
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('a user that does not serve a request hears of every copy', async (t) => {
  const bench = new Bench({ maxTransactions: 0 })
  const options = requestText('OPTIONS')
  bench.receive(options)
  bench.receive(options)
  t.strictSame(bench.takeHeard(), ['new OPTIONS', 'new OPTIONS'])
  bench.assertEmpty(t)
})

t.test('a request may be served later, once', async (t) => {
  const bench = new Bench({ maxTransactions: 1 })
  const options = parsed(requestText('OPTIONS'))
  bench.layer.serve(options, peer, {})
  bench.layer.receive(options, peer)
  t.strictSame(bench.takeHeard(), [])
  t.throws(() => new Bench().layer.serve(parsed(requestText('OPTIONS', { via: '??' })), peer, {}), {
    message: rejected.serve,
  })
  bench.layer.close()
  const roomy = new Bench()
  roomy.layer.serve(options, peer, {})
  t.throws(() => roomy.layer.serve(options, peer, {}), { message: rejected.serve })
  roomy.layer.close()
  roomy.assertEmpty(t)
})

t.test('a request that cannot be matched to its responses is a bug of ours', async (t) => {
  const bench = new Bench()
  const used = requestText('OPTIONS')
  bench.request(used)
  for (const text of [
    used,
    requestText('ACK'),
    requestText('OPTIONS', { via: 'SIP/2.0/UDP 192.0.2.1' }),
    'hello',
  ]) {
    t.throws(() => bench.request(text), { message: rejected.request })
  }
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('what a peer garbles is dropped', async (t) => {
  const bench = new Bench()
  const invite = requestText('INVITE')
  bench.request(invite)
  bench.takeSent()
  for (const text of [
    requestText('OPTIONS', { via: '??' }),
    requestText('ACK', { via: '??' }),
    responseTo(invite, 200).replace('200', '999'),
    responseTo(invite, 200).replace(/^Via: .*\r\n/m, ''),
    responseTo(invite, 200).replace(/^CSeq: .*\r\n/m, ''),
  ]) {
    bench.receive(text)
  }
  t.strictSame(bench.takeSent(), [])
  t.strictSame(bench.takeHeard(), ['stray 200'])
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('fail-over (RFC 3263 §4.3): a new transaction for the next target', async (t) => {
  const targets = [peer, tcpPeer, { ...peer, port: 5062 }]
  const bench = new Bench()
  const tried: Endpoint[] = []
  const tryNext = () => {
    const to = targets[tried.length]
    if (!to) return
    tried.push(to)
    bench.layer.request(requestText('INVITE', { branch: newBranch() }), to, {
      response: (response) =>
        response.status === 503 ? tryNext() : bench.heard.push(String(response.status)),
      failed: tryNext,
    })
  }
  tryNext()
  const first = bench.sent[0]?.text ?? ''
  bench.receive(responseTo(first, 503))
  t.strictSame(
    bench.takeSent(),
    ['INVITE', 'ACK', 'INVITE'],
    'the 503 is acknowledged before the next is tried',
  )
  bench.layer.transportError(tcpPeer)
  t.equal(bench.sent.length, 1)
  bench.receive(responseTo(bench.sent[0]?.text ?? '', 200))
  t.strictSame(bench.takeHeard(), ['200'])
  t.strictSame(tried, targets)
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('an ICMP error fails what waits for that peer, and nothing else', async (t) => {
  const bench = new Bench()
  const other: Endpoint = { ...peer, port: 5099 }
  for (let i = 0; i < 3; i++) bench.request(requestText('OPTIONS'))
  const spared = bench.request(requestText('OPTIONS'), other)
  bench.layer.transportError({ ...peer })
  t.strictSame(bench.takeHeard(), ['transport', 'transport', 'transport'])
  t.equal(spared.state, 'trying')
  bench.layer.transportError(peer)
  bench.layer.transportError(peer, requestText('OPTIONS'))
  bench.layer.transportError(peer, 'hello')
  t.strictSame(bench.takeHeard(), [])
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('a send that fails at once', async (t) => {
  for (const method of ['INVITE', 'OPTIONS']) {
    for (const to of [peer, tcpPeer]) {
      const bench: Bench = new Bench({ send: (text, target) => bench.layer.transportError(target, text) })
      const transaction = bench.request(requestText(method), to)
      t.equal(transaction.state, 'terminated')
      t.strictSame(bench.takeHeard(), ['transport'])
      bench.assertEmpty(t)
      bench.receive(requestText(method), to)
      bench.serving[0]?.reply(486)
      t.strictSame(bench.takeHeard(), [`new ${method}`, 'transport'])
      bench.clock.advance(32_000)
      bench.assertEmpty(t)
    }
  }
})

t.test('a user that throws leaves nothing behind', async (t) => {
  const bench = new Bench()
  const fail = () => {
    throw new Error('bug')
  }
  for (const [to, status] of [
    [peer, 200],
    [tcpPeer, 200],
    [tcpPeer, 486],
  ] as const) {
    for (const method of ['INVITE', 'OPTIONS']) {
      const request = requestText(method)
      bench.layer.request(request, to, { response: fail, failed: fail })
      t.throws(() => bench.receive(responseTo(request, status), to), { message: 'bug' })
    }
  }
  bench.clock.advance(40_000)
  bench.assertEmpty(t)
})

t.test('counters', async (t) => {
  const bench = new Bench()
  bench.receive(requestText('INVITE'))
  bench.receive(requestText('OPTIONS'))
  bench.request(requestText('INVITE'))
  bench.request(requestText('OPTIONS'))
  bench.request(requestText('OPTIONS'))
  t.match(bench.layer.counters, {
    inviteServers: 1,
    nonInviteServers: 1,
    inviteClients: 1,
    nonInviteClients: 2,
  })
  bench.layer.close()
  bench.assertEmpty(t)
})

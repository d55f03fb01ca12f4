import t, { type Test } from 'tap'
import type { Endpoint } from '../../../src/sip/endpoint.ts'
import { ackTo, Bench, cancelOf, parsed, peer, type RequestParts, requestText, responseTo } from './bench.ts'

/** Whether `second` is a copy of the request that `first` began, or begins another. */
function isCopy(t: Test, first: string, second: string, options = {}, source = peer): boolean {
  const bench = new Bench(options)
  bench.receive(first)
  bench.receive(second, source)
  const copy = bench.serving.length === 1
  bench.layer.close()
  bench.assertEmpty(t)
  return copy
}

t.test('requests, by branch, sent-by and method (§17.2.3)', async (t) => {
  const via = 'SIP/2.0/UDP pc.example.com:5060;branch=z9hG4bKaBc'
  const first = requestText('OPTIONS', { via })
  const copies: Record<string, RequestParts> = {
    'the same': { via },
    'another case': { via: 'SIP/2.0/UDP PC.Example.COM:5060;Branch=z9hG4bKAbC' },
    'the default port left out': { via: 'SIP/2.0/UDP pc.example.com;branch=z9hG4bKaBc' },
    'other parameters': { via: `${via};rport;received=192.0.2.9` },
    'anything else different': { via, uri: 'sip:x', callId: 'y', fromTag: 'z', toTag: 'w', cseq: 9 },
  }
  for (const [what, parts] of Object.entries(copies))
    t.ok(isCopy(t, first, requestText('OPTIONS', parts)), what)

  t.notOk(isCopy(t, first, requestText('INFO', { via })), 'another method')
  for (const other of [
    'SIP/2.0/UDP pc.example.com:5060;branch=z9hG4bKaBd',
    'SIP/2.0/UDP pc.example.com:5061;branch=z9hG4bKaBc',
    'SIP/2.0/UDP pc2.example.com:5060;branch=z9hG4bKaBc',
  ]) {
    t.notOk(isCopy(t, first, requestText('OPTIONS', { via: other })), other)
  }
})

t.test('requests of trusted peers, by branch and method alone', async (t) => {
  const other: Endpoint = { transport: 'udp', address: '192.0.2.3', port: 5060 }
  const trusts = ({ address }: Endpoint) => address.startsWith('192.0.2.')
  const first = requestText('INVITE', { via: 'SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKedge' })
  const second = requestText('INVITE', { via: 'SIP/2.0/UDP 192.0.2.3;branch=z9hG4bKedge' })

  t.ok(isCopy(t, first, second, { trusts }, other))
  t.notOk(isCopy(t, first, second, {}, other))

  t.test('responses take the way by which the newest copy came', async (t) => {
    const bench = new Bench({ trusts })
    bench.receive(first)
    bench.serving[0]?.reply(180)
    bench.receive(second, other)
    bench.serving[0]?.reply(486)
    bench.clock.advance(500)
    const [to180, again180, to486, again486] = bench.sent.splice(0)
    t.strictSame([to180?.to, parsed(to180?.text ?? '').topVia?.host], [peer, '192.0.2.2'])
    for (const sent of [again180, to486, again486]) {
      t.strictSame([sent?.to, parsed(sent?.text ?? '').topVia?.host], [other, '192.0.2.3'])
    }

    bench.receive(ackTo(first, 'x'))
    t.equal(bench.serving[0]?.state, 'confirmed', 'the ACK may come by either')
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  })

  t.test('a CANCEL may come by another way than its INVITE', async (t) => {
    const bench = new Bench({ trusts })
    bench.receive(first)
    bench.receive(cancelOf(second), other)
    t.strictSame(bench.takeHeard(), ['new INVITE', 'cancelled'])
    t.strictSame(bench.sent.splice(0)[0]?.to, other)
    bench.layer.close()
    bench.assertEmpty(t)
  })

  t.test('who is not trusted does not get at them by their branch', async (t) => {
    const stranger: Endpoint = { transport: 'udp', address: '198.51.100.1', port: 5060 }
    const bench = new Bench({ trusts })
    bench.receive(first)
    bench.receive(cancelOf(first), stranger)
    t.strictSame(bench.takeHeard(), ['new INVITE', 'new CANCEL'])
    bench.layer.close()
    bench.assertEmpty(t)
  })
})

t.test('requests of clients before RFC 3261 (§17.2.3)', async (t) => {
  const via = 'SIP/2.0/UDP old.example.com:5060'
  for (const method of ['INVITE', 'OPTIONS']) {
    const first = requestText(method, { via })
    t.ok(isCopy(t, first, first), `${method}: the same`)
    t.ok(
      isCopy(
        t,
        requestText(method, { via: `${via};branch=1` }),
        requestText(method, { via: `${via};branch=1` }),
      ),
      `${method}: a branch without the cookie`,
    )
    const others: Record<string, RequestParts> = {
      'Request-URI': { via, uri: 'sip:carol@example.com' },
      'To tag': { via, toTag: 'x' },
      'From tag': { via, fromTag: 'x' },
      'Call-ID': { via, callId: 'x' },
      CSeq: { via, cseq: 2 },
      'top Via': { via: `${via};branch=2` },
    }
    for (const [what, parts] of Object.entries(others))
      t.notOk(isCopy(t, first, requestText(method, parts)), `${method}: another ${what}`)
  }
  t.notOk(
    isCopy(
      t,
      requestText('OPTIONS', { via: `${via};branch=z9hG4bK` }),
      requestText('OPTIONS', { via: `${via};branch=z9hG4bK`, callId: 'x' }),
    ),
    'the cookie alone identifies nothing',
  )

  t.test('the ACK is found by the To tag of the response', async (t) => {
    const invite = requestText('INVITE', { via })
    const bench = new Bench()
    bench.receive(invite)
    const transaction = bench.serving[0]
    transaction?.reply(486)
    bench.receive(ackTo(invite, 'other'))
    t.equal(transaction?.state, 'completed')
    bench.receive(ackTo(invite, transaction?.tag ?? ''))
    t.equal(transaction?.state, 'confirmed')
    t.strictSame(bench.takeHeard(), ['new INVITE', 'ACK'])
    bench.clock.advance(5000)
    bench.assertEmpty(t)
  })

  t.test('so is that of a 2xx, which the user hears', async (t) => {
    const invite = requestText('INVITE', { via })
    const bench = new Bench()
    bench.receive(invite)
    bench.serving[0]?.reply(200)
    bench.receive(ackTo(invite, bench.serving[0]?.tag ?? ''))
    t.strictSame(bench.takeHeard(), ['new INVITE', 'own ACK'])
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  })

  t.test('a CANCEL is found, too', async (t) => {
    const invite = requestText('INVITE', { via })
    const bench = new Bench()
    bench.receive(invite)
    bench.receive(cancelOf(invite))
    t.strictSame(bench.takeHeard(), ['new INVITE', 'cancelled'])
    bench.layer.close()
    bench.assertEmpty(t)
  })
})

t.test('responses, by branch and the method of CSeq (§17.1.3)', async (t) => {
  const bench = new Bench()
  const first = requestText('OPTIONS', { branch: 'z9hG4bKo1' })
  const second = requestText('INFO', { branch: 'z9hG4bKo2' })
  bench.request(first)
  bench.request(second)
  bench.receive(responseTo(second, 202))
  bench.receive(responseTo(first, 200).replace('z9hG4bKo1', 'z9hG4bKO1'))
  bench.receive(responseTo(first.replaceAll('OPTIONS', 'INFO'), 500))
  bench.receive(responseTo(first.replace('z9hG4bKo1', 'z9hG4bKo3'), 501))
  t.strictSame(bench.takeHeard(), ['202', '200', 'stray 500', 'stray 501'])
  t.equal(bench.layer.counters.strayResponses, 2)
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('merged requests (§8.2.2.2)', async (t) => {
  const first = requestText('REGISTER')
  const merged = requestText('REGISTER')

  t.test('are a fact for the user, who may answer 482', async (t) => {
    const bench = new Bench({ detectMerged: true })
    bench.receive(first)
    bench.receive(first)
    bench.receive(merged)
    t.strictSame(
      bench.serving.map((transaction) => transaction.merged),
      [false, true],
    )
    t.ok(bench.serving[1]?.reply(482))
    t.match(bench.sent[0]?.text, /^SIP\/2\.0 482 Loop Detected\r\n/)
    t.equal(bench.layer.counters.merged, 1)
    bench.layer.close()
    bench.receive(requestText('REGISTER'))
    t.notOk(bench.serving[2]?.merged, 'only what is open counts')
    bench.layer.close()
    bench.assertEmpty(t)
  })

  t.test('are none if they differ, or belong to a dialog', async (t) => {
    const others = [{ fromTag: 'x' }, { callId: 'x' }, { cseq: 2 }, { toTag: 'x' }]
    for (const parts of others) {
      const bench = new Bench({ detectMerged: true })
      bench.receive(first)
      bench.receive(requestText('REGISTER', parts))
      t.notOk(bench.serving[1]?.merged, JSON.stringify(parts))
      bench.layer.close()
      bench.assertEmpty(t)
    }
  })

  t.test('are not looked for unless asked', async (t) => {
    const bench = new Bench()
    bench.receive(first)
    bench.receive(merged)
    t.notOk(bench.serving[1]?.merged)
    bench.layer.close()
    bench.assertEmpty(t)
  })
})

import t from 'tap'
import { inviteClient } from '../../../src/sip/transaction/invite-client.ts'
import { Bench, cellsOf, parsed, peer, recordCells, requestText, responseTo, tcpPeer } from './bench.ts'

const visited = recordCells(t)
const INVITE = requestText('INVITE', { branch: 'z9hG4bKi1' })
const proxied = { timerC: true }

t.test('every copy of the INVITE is lost: repeated at doubling intervals until B', async (t) => {
  const bench = new Bench()
  bench.request(INVITE)
  t.strictSame(bench.takeSent(), ['INVITE'])
  t.strictSame(bench.sendingsWithin(31_999), [
    ...['500 INVITE', '1500 INVITE', '3500 INVITE', '7500 INVITE', '15500 INVITE', '31500 INVITE'],
  ])
  t.strictSame(bench.takeHeard(), [])
  bench.clock.advance(1)
  t.strictSame(bench.takeHeard(), ['timeout'])
  t.equal(bench.layer.counters.retransmissionsSent, 6)
  t.equal(bench.layer.counters.timeouts, 1)
  bench.assertEmpty(t)
})

t.test('over TCP nothing is repeated, and B still gives up', async (t) => {
  const bench = new Bench()
  bench.request(INVITE, tcpPeer)
  t.strictSame(bench.takeSent(), ['INVITE'])
  t.strictSame(bench.sendingsWithin(32_000), [])
  t.strictSame(bench.takeHeard(), ['timeout'])
  bench.assertEmpty(t)
})

t.test('a provisional response ends the repeating, and B', async (t) => {
  for (const first of [100, 180]) {
    const bench = new Bench()
    const transaction = bench.request(INVITE)
    bench.takeSent()
    bench.receive(responseTo(INVITE, first))
    t.equal(bench.clock.pending, 0, 'A and B end with the state they were started in')
    bench.receive(responseTo(INVITE, 100))
    bench.receive(responseTo(INVITE, 183))
    bench.receive(responseTo(INVITE, 183))
    t.strictSame(bench.takeHeard(), [String(first), '100', '183', '183'], 'each is passed on, also a copy')
    t.strictSame(bench.sendingsWithin(3_600_000), [], 'it may ring for an hour')
    t.equal(transaction.state, 'proceeding')
    bench.receive(responseTo(INVITE, 486))
    t.strictSame(bench.takeSent(), ['ACK'])
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  }
})

t.test('a failure is acknowledged, and again for every copy until D', async (t) => {
  for (const before of [[], [180]]) {
    const bench = new Bench()
    bench.request(INVITE)
    for (const status of before) bench.receive(responseTo(INVITE, status))
    bench.takeSent()
    bench.takeHeard()
    for (let copy = 0; copy < 3; copy++) bench.receive(responseTo(INVITE, 503))
    t.strictSame(bench.takeSent(), ['ACK', 'ACK', 'ACK'])
    t.strictSame(bench.takeHeard(), ['503'], 'the user hears it once')
    bench.receive(responseTo(INVITE, 180))
    bench.receive(responseTo(INVITE, 200))
    t.strictSame([...bench.takeSent(), ...bench.takeHeard()], [], 'what comes too late is absorbed')
    t.equal(bench.layer.counters.retransmissionsReceived, 4)
    bench.clock.advance(31_999)
    t.equal(bench.layer.open, 1)
    bench.clock.advance(1)
    bench.assertEmpty(t)
    bench.receive(responseTo(INVITE, 503))
    t.strictSame(bench.takeHeard(), ['stray 503'])
  }
})

t.test('over TCP D is zero: the failure ends it', async (t) => {
  const bench = new Bench()
  const transaction = bench.request(INVITE, tcpPeer)
  bench.receive(responseTo(INVITE, 404), tcpPeer)
  t.strictSame(bench.takeSent(), ['INVITE', 'ACK'])
  t.strictSame(bench.takeHeard(), ['404'])
  t.equal(transaction.state, 'terminated')
  bench.assertEmpty(t)
})

t.test('RFC 6026: every 2xx of every branch goes to the user until M, also over TCP', async (t) => {
  for (const to of [peer, tcpPeer]) {
    for (const before of [[], [180]]) {
      const bench = new Bench()
      const transaction = bench.request(INVITE, to)
      for (const status of before) bench.receive(responseTo(INVITE, status, 'one'))
      bench.takeSent()
      bench.takeHeard()
      bench.receive(responseTo(INVITE, 200, 'one'))
      bench.receive(responseTo(INVITE, 200, 'two'))
      bench.receive(responseTo(INVITE, 200, 'one'))
      bench.receive(responseTo(INVITE, 180, 'three'))
      bench.receive(responseTo(INVITE, 486, 'three'))
      t.strictSame(bench.takeHeard(), ['200', '200', '200'])
      t.strictSame(bench.takeSent(), [], 'the ACK to a 2xx is the caller’s')
      bench.clock.advance(31_999)
      t.equal(transaction.state, 'accepted')
      bench.clock.advance(1)
      bench.assertEmpty(t)
      bench.receive(responseTo(INVITE, 200, 'one'))
      t.strictSame(bench.takeHeard(), ['stray 200'])
    }
  }
})

t.test('a transport error ends it while it waits for an answer, or acknowledges', async (t) => {
  const bench = new Bench()
  bench.request(INVITE)
  bench.layer.transportError(peer)
  t.strictSame(bench.takeHeard(), ['transport'])
  bench.assertEmpty(t)

  bench.request(INVITE)
  bench.receive(responseTo(INVITE, 180))
  bench.layer.transportError(peer)
  bench.layer.transportError(peer, INVITE)
  t.strictSame(bench.takeHeard(), ['180'], 'but not while it rings: nothing of it was being sent')
  bench.receive(responseTo(INVITE, 486))
  const ack = bench.sent.at(-1)?.text ?? ''
  bench.layer.transportError(peer, ack)
  t.strictSame(bench.takeHeard(), ['486', 'transport'])
  bench.assertEmpty(t)
})

t.test('Timer C of a proxied INVITE', async (t) => {
  t.test('is renewed by 101…199, not by a 100, and then cancels (§16.7 step 2, §16.8)', async (t) => {
    const bench = new Bench()
    bench.request(INVITE, peer, proxied)
    bench.receive(responseTo(INVITE, 100))
    bench.takeSent()
    bench.clock.advance(100_000)
    bench.receive(responseTo(INVITE, 180))
    bench.clock.advance(100_000)
    bench.receive(responseTo(INVITE, 100))
    t.strictSame(bench.sendingsWithin(81_000), ['81000 CANCEL'])
    bench.takeHeard()
    bench.receive(responseTo(INVITE, 487))
    t.strictSame(bench.takeHeard(), ['487'])
    t.strictSame(bench.takeSent(), ['ACK'])
    bench.clock.advance(40_000)
    bench.assertEmpty(t)
  })

  t.test('without a provisional response it is as if a 408 had come', async (t) => {
    const bench = new Bench({ timers: { timerCMs: 20_000 } })
    bench.request(INVITE, peer, proxied)
    bench.clock.advance(20_000)
    t.strictSame(bench.takeHeard(), ['timeout'])
    bench.assertEmpty(t)
  })

  t.test('is renewed by the provisional response that comes first, too', async (t) => {
    const bench = new Bench({ timers: { timerCMs: 20_000 } })
    bench.request(INVITE, peer, proxied)
    bench.clock.advance(19_000)
    bench.receive(responseTo(INVITE, 183))
    bench.takeSent()
    t.strictSame(bench.sendingsWithin(20_000), ['20000 CANCEL'])
    bench.receive(responseTo(INVITE, 180))
    bench.takeSent()
    bench.clock.advance(32_000)
    t.strictSame(bench.takeHeard(), ['183', '180', 'timeout'], 'the CANCEL is sent once, and then given up')
    bench.assertEmpty(t)
  })
})

t.test('cancel (§9.1)', async (t) => {
  t.test('waits for a provisional response', async (t) => {
    for (const status of [100, 180]) {
      const bench = new Bench()
      const transaction = bench.request(INVITE)
      transaction.cancel('SIP;cause=200;text="Call completed elsewhere"')
      transaction.cancel()
      bench.takeSent()
      t.strictSame(bench.sendingsWithin(1000), ['500 INVITE'], 'the INVITE goes on')
      bench.receive(responseTo(INVITE, status))
      t.strictSame(
        bench.sent.map(({ text, to }) => [text.split('\r\n')[0], to]),
        [['CANCEL sip:bob@example.com SIP/2.0', peer]],
      )
      t.match(bench.sent[0]?.text, 'Reason: SIP;cause=200;text="Call completed elsewhere"\r\n')
      const cancel = bench.sent.splice(0)[0]?.text ?? ''
      bench.receive(responseTo(cancel, 200))
      bench.receive(responseTo(INVITE, 487))
      transaction.cancel()
      t.strictSame(bench.takeSent(), ['ACK'])
      t.strictSame(bench.takeHeard(), [String(status), '487'], 'the CANCEL’s own answer is nobody’s business')
      bench.clock.advance(32_000)
      bench.assertEmpty(t)
    }
  })

  t.test('is sent at once when a provisional response has come', async (t) => {
    const bench = new Bench()
    const transaction = bench.request(INVITE, peer, proxied)
    bench.receive(responseTo(INVITE, 180))
    bench.takeSent()
    transaction.cancel()
    transaction.cancel()
    t.strictSame(bench.takeSent(), ['CANCEL'])
    t.strictSame(bench.sendingsWithin(2000), ['500 CANCEL', '1500 CANCEL'], 'a transaction of its own')
    bench.clock.advance(29_999)
    bench.takeHeard()
    bench.clock.advance(1)
    t.strictSame(bench.takeHeard(), ['timeout'], '64·T1 after the CANCEL the INVITE is given up')
    bench.assertEmpty(t)
  })

  t.test('loses the race against a final response', async (t) => {
    for (const status of [200, 486]) {
      const bench = new Bench()
      const transaction = bench.request(INVITE)
      transaction.cancel()
      bench.receive(responseTo(INVITE, status))
      bench.receive(responseTo(INVITE, 180))
      t.notOk(bench.takeSent().includes('CANCEL'))
      t.strictSame(bench.takeHeard(), [String(status)])
      bench.clock.advance(32_000)
      bench.assertEmpty(t)
    }
  })

  t.test('crosses a 200 on its way: the user hears the 200', async (t) => {
    const bench = new Bench()
    const transaction = bench.request(INVITE)
    bench.receive(responseTo(INVITE, 180))
    transaction.cancel()
    bench.receive(responseTo(INVITE, 200))
    t.strictSame(bench.takeHeard(), ['180', '200'])
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  })

  t.test('from within the callback of the response that releases it: one CANCEL', async (t) => {
    const bench = new Bench()
    bench.layer.request(INVITE, peer, {
      response: (_, transaction) => transaction.cancel(),
      failed: () => {},
    })
    bench.receive(responseTo(INVITE, 180))
    bench.receive(responseTo(INVITE, 183))
    t.strictSame(bench.takeSent(), ['INVITE', 'CANCEL'])
    bench.layer.close()
    bench.assertEmpty(t)
  })
})

t.test('the ACK takes the INVITE’s way (§17.1.1.3)', async (t) => {
  const bench = new Bench()
  const more = 'Route: <sip:p1;lr>, <sip:p2;lr>\r\nRoute: <sip:p3;lr>\r\nSubject: lunch\r\n'
  const invite = requestText('INVITE', { branch: 'z9hG4bKack', cseq: 7, more })
  bench.request(invite)
  bench.sent.splice(0)
  bench.receive(responseTo(invite, 486, 'busy'))
  const ack = parsed(bench.sent[0]?.text ?? '')
  t.equal(ack.requestUri, 'sip:bob@example.com')
  t.equal(ack.text.match(/^Via:/gm)?.length, 1)
  t.equal(ack.topVia?.branch, 'z9hG4bKack')
  t.equal(ack.to?.tag, 'busy')
  t.strictSame([ack.cseq?.number, ack.cseq?.method], [7, 'ACK'])
  t.strictSame(ack.text.match(/<sip:p\d;lr>/g), ['<sip:p1;lr>', '<sip:p2;lr>', '<sip:p3;lr>'])
  t.notMatch(ack.text, 'Subject')
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('every arrow of the figure was walked', async (t) => {
  t.strictSame(
    cellsOf('inviteClient', inviteClient).filter((cell) => !visited.has(cell)),
    [],
  )
})

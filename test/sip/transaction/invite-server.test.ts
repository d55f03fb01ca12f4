import t from 'tap'
import { respond } from '../../../src/sip/response.ts'
import { inviteServer } from '../../../src/sip/transaction/invite-server.ts'
import { ackTo, Bench, cancelOf, cellsOf, parsed, peer, recordCells, requestText, tcpPeer } from './bench.ts'

const visited = recordCells(t)
const INVITE = requestText('INVITE', { branch: 'z9hG4bKi1' })

const answer = (status: number) => respond(parsed(INVITE), status, { toTag: 'bob' }) ?? ''

function serve(bench: Bench, source = peer) {
  bench.receive(INVITE, source)
  const transaction = bench.serving.at(-1)
  if (!transaction) throw new Error('nothing is served')
  bench.takeHeard()
  return transaction
}

t.test('a user that is slow gets its 100 sent after 200 ms (§17.2.1)', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  t.strictSame(bench.takeSent(), [])
  bench.receive(INVITE)
  t.strictSame(bench.takeSent(), [], 'there is nothing to repeat yet')
  bench.clock.advance(199)
  t.strictSame(bench.takeSent(), [])
  bench.clock.advance(1)
  const trying = bench.sent[0]?.text ?? ''
  t.match(trying, /^SIP\/2\.0 100 Trying\r\n/)
  t.notMatch(trying, /^To:.*tag=/m, 'a 100 has no To tag')
  t.strictSame(bench.takeSent(), ['100'])
  bench.receive(INVITE)
  t.strictSame(bench.takeSent(), ['100'])
  t.strictSame(bench.takeHeard(), [], 'the user hears of an INVITE once')
  transaction.respond(486, answer(486))
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('a user that answers itself needs no 100', async (t) => {
  for (const status of [100, 180, 200, 486]) {
    const bench = new Bench()
    const transaction = serve(bench)
    t.ok(transaction.respond(status, answer(status)))
    bench.takeSent()
    t.notOk(
      bench.sendingsWithin(400).some((sending) => sending.endsWith(' 100')),
      `after a ${status}`,
    )
    bench.layer.close()
    bench.assertEmpty(t)
  }
})

t.test('each copy of the INVITE gets the latest provisional response', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  transaction.respond(180, answer(180))
  bench.receive(INVITE)
  transaction.respond(183, answer(183))
  bench.receive(INVITE)
  bench.receive(INVITE)
  t.strictSame(bench.takeSent(), ['180', '180', '183', '183', '183'])
  t.equal(bench.layer.counters.retransmissionsReceived, 3)
  t.equal(bench.layer.counters.retransmissionsSent, 3)
  bench.receive(ackTo(INVITE, 'bob'))
  t.strictSame(bench.takeHeard(), [], 'an ACK to nothing is dropped')
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('a failure is repeated up to every T2 until H gives up', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  transaction.respond(486, answer(486))
  bench.takeSent()
  t.strictSame(
    bench.sendingsWithin(32_000),
    [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500].map((ms) => `${ms} 486`),
  )
  t.strictSame(bench.takeHeard(), ['timeout'])
  bench.assertEmpty(t)
})

t.test('over TCP a failure is not repeated, and H still gives up', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench, tcpPeer)
  transaction.respond(486, answer(486))
  t.strictSame(bench.sent.splice(0)[0]?.to, tcpPeer, 'it goes back on its connection')
  t.strictSame(bench.sendingsWithin(32_000), [])
  t.strictSame(bench.takeHeard(), ['timeout'])
  bench.assertEmpty(t)
})

t.test('the ACK ends the repeating; copies of it are absorbed until I', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  transaction.respond(486, answer(486))
  bench.receive(INVITE)
  t.strictSame(bench.takeSent(), ['486', '486'], 'the INVITE crossed the response')
  bench.receive(ackTo(INVITE, 'bob'))
  t.equal(bench.clock.pending, 1, 'G and H have ended, I runs')
  bench.receive(ackTo(INVITE, 'bob'))
  bench.receive(INVITE)
  t.strictSame(bench.sendingsWithin(4999), [], 'nor is a late INVITE answered')
  t.equal(transaction.state, 'confirmed')
  bench.clock.advance(1)
  t.strictSame(bench.takeHeard(), [])
  bench.assertEmpty(t)
})

t.test('over TCP I is zero: the ACK ends it', async (t) => {
  const bench = new Bench()
  serve(bench, tcpPeer).respond(486, answer(486))
  bench.receive(ackTo(INVITE, 'bob'), tcpPeer)
  bench.assertEmpty(t)
})

t.test('after the final response nothing else is sent', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  transaction.respond(486, answer(486))
  bench.takeSent()
  for (const late of [100, 180, 200, 603]) t.notOk(transaction.respond(late, answer(late)), String(late))
  bench.receive(ackTo(INVITE, 'bob'))
  for (const late of [180, 200, 486]) t.notOk(transaction.respond(late, answer(late)), String(late))
  bench.clock.advance(5000)
  for (const late of [180, 200, 486]) t.notOk(transaction.respond(late, answer(late)), String(late))
  t.notOk(transaction.reply(500))
  t.strictSame(bench.takeSent(), [])
  bench.assertEmpty(t)
})

t.test('RFC 6026: Accepted until L, also over TCP', async (t) => {
  for (const source of [peer, tcpPeer]) {
    const bench = new Bench()
    const transaction = serve(bench, source)
    transaction.respond(180, answer(180))
    transaction.respond(200, answer(200))
    bench.takeSent()
    bench.receive(INVITE, source)
    t.strictSame(bench.takeSent(), [], 'a copy of the INVITE is absorbed')
    t.strictSame(bench.takeHeard(), [], 'and is no new call')
    t.ok(transaction.respond(200, answer(200)), 'the user repeats the 2xx, or sends that of another branch')
    t.strictSame(bench.takeSent(), ['200'])
    for (const late of [180, 486]) t.notOk(transaction.respond(late, answer(late)), String(late))
    t.strictSame(bench.sendingsWithin(31_999), [], 'the transaction repeats no 2xx')
    t.equal(transaction.state, 'accepted')
    bench.clock.advance(1)
    bench.assertEmpty(t)
  }
})

t.test('the ACK to a 2xx goes to the user', async (t) => {
  const bench = new Bench()
  serve(bench).respond(200, answer(200))
  bench.receive(requestText('ACK', { toTag: 'bob' }))
  bench.receive(ackTo(INVITE, 'bob'))
  t.strictSame(bench.takeHeard(), ['ACK', 'own ACK'], 'also if it has the INVITE’s branch')
  t.equal(bench.layer.counters.acksPassed, 2)
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('RFC 6026 §8.8: a response that cannot be sent ends nothing', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  for (const status of [180, 200]) {
    transaction.respond(status, answer(status))
    bench.layer.transportError(peer, answer(status))
  }
  t.equal(transaction.state, 'accepted')
  bench.clock.advance(32_000)

  const another = serve(bench)
  another.respond(486, answer(486))
  bench.layer.transportError(peer, answer(486))
  t.equal(another.state, 'completed')
  bench.takeSent()
  bench.receive(INVITE)
  t.strictSame(bench.takeSent(), ['486'], 'a copy is not taken for a new call')
  t.equal(bench.layer.counters.transportErrors, 3)
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('CANCEL (§9.2, §16.10)', async (t) => {
  const CANCEL = cancelOf(INVITE)

  t.test('is answered at once, in a transaction of its own; the user is told', async (t) => {
    const bench = new Bench()
    const transaction = serve(bench)
    bench.receive(CANCEL)
    t.strictSame(bench.takeSent(), ['200'])
    t.strictSame(bench.takeHeard(), ['cancelled'])
    bench.receive(CANCEL)
    t.strictSame(bench.takeSent(), ['200'])
    t.strictSame(bench.takeHeard(), [], 'a copy of the CANCEL is a copy')
    t.equal(transaction.state, 'proceeding')
    transaction.reply(487)
    bench.receive(ackTo(INVITE, transaction.tag))
    t.strictSame(bench.takeSent(), ['487'])
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  })

  t.test('has its INVITE’s To tag', async (t) => {
    const bench = new Bench()
    const transaction = serve(bench)
    transaction.respond(180, answer(180))
    bench.receive(CANCEL)
    t.equal(parsed(bench.sent.pop()?.text ?? '').to?.tag, 'bob')
    bench.layer.close()

    const another = serve(bench)
    bench.receive(CANCEL)
    t.equal(parsed(bench.sent.pop()?.text ?? '').to?.tag, another.tag)
    another.reply(487)
    t.equal(parsed(bench.sent.pop()?.text ?? '').to?.tag, another.tag)
    bench.layer.close()
    bench.assertEmpty(t)
  })

  t.test('has no effect after the final response', async (t) => {
    for (const status of [200, 486]) {
      const bench = new Bench()
      serve(bench).respond(status, answer(status))
      bench.takeSent()
      bench.receive(CANCEL)
      t.strictSame(bench.takeSent(), ['200'])
      t.strictSame(bench.takeHeard(), [])
      bench.clock.advance(32_000)
      bench.assertEmpty(t)
    }
  })

  t.test('of an unknown INVITE is the user’s, as a request', async (t) => {
    const bench = new Bench()
    bench.receive(CANCEL)
    t.strictSame(bench.takeHeard(), ['new CANCEL'])
    t.ok(bench.serving[0]?.reply(481))
    t.strictSame(bench.takeSent(), ['481'])
    t.equal(bench.layer.counters.strayCancels, 1)
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  })

  t.test('of anything but an INVITE is answered and has no effect', async (t) => {
    const bench = new Bench()
    bench.receive(requestText('OPTIONS', { branch: 'z9hG4bKi1' }))
    bench.receive(CANCEL)
    t.strictSame(bench.takeSent(), ['200'])
    t.strictSame(bench.takeHeard(), ['new OPTIONS'])
    bench.layer.close()
    bench.assertEmpty(t)
  })
})

t.test('every arrow of the figure was walked', async (t) => {
  t.strictSame(
    cellsOf('inviteServer', inviteServer).filter((cell) => !visited.has(cell)),
    [],
  )
})

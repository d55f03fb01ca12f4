import t from 'tap'
import { respond } from '../../../src/sip/response.ts'
import { nonInviteServer } from '../../../src/sip/transaction/non-invite-server.ts'
import { Bench, cellsOf, parsed, peer, recordCells, requestText, tcpPeer } from './bench.ts'

const visited = recordCells(t)
const MESSAGE = requestText('MESSAGE', { branch: 'z9hG4bKm1' })

const answer = (status: number) => respond(parsed(MESSAGE), status, { toTag: 'bob' }) ?? ''

function serve(bench: Bench, source = peer) {
  bench.receive(MESSAGE, source)
  const transaction = bench.serving.at(-1)
  if (!transaction) throw new Error('nothing is served')
  bench.takeHeard()
  return transaction
}

t.test('a copy is absorbed until there is a response, and then answered with it until J', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  bench.receive(MESSAGE)
  t.strictSame(bench.takeSent(), [])
  t.ok(transaction.respond(200, answer(200)))
  bench.receive(MESSAGE)
  bench.receive(MESSAGE)
  t.strictSame(bench.takeSent(), ['200', '200', '200'])
  t.notOk(transaction.respond(500, answer(500)), 'another final response is discarded')
  t.notOk(transaction.respond(100, answer(100)))
  t.strictSame(bench.sendingsWithin(31_999), [], 'nothing is repeated by itself')
  t.equal(transaction.state, 'completed')
  bench.clock.advance(1)
  bench.assertEmpty(t)
  t.notOk(transaction.respond(200, answer(200)), 'RFC 4320 §4.3: a late response goes nowhere')
  bench.receive(MESSAGE)
  t.strictSame(bench.takeHeard(), ['new MESSAGE'])
  bench.layer.close()
})

t.test('RFC 4320 §4.1: a 100 goes out by itself when the client’s Timer E has reached T2', async (t) => {
  for (const source of [peer, tcpPeer]) {
    const bench = new Bench()
    const transaction = serve(bench, source)
    t.strictSame(bench.sendingsWithin(10_000), ['3500 100'])
    bench.receive(MESSAGE, source)
    t.strictSame(bench.takeSent(), ['100'], 'copies get it, too')
    t.ok(transaction.respond(100, answer(100)), 'the user may repeat it by now')
    t.ok(transaction.respond(404, answer(404)))
    t.strictSame(bench.takeSent(), ['100', '404'])
    bench.clock.advance(32_000)
    bench.assertEmpty(t)
  }
})

t.test('RFC 4320 §4.1: no other provisional response, and over UDP no earlier 100', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  for (const status of [100, 180, 183, 199])
    t.notOk(transaction.respond(status, answer(status)), String(status))
  bench.clock.advance(3500)
  bench.takeSent()
  t.notOk(transaction.respond(180, answer(180)))
  t.strictSame(bench.takeSent(), [])
  bench.layer.close()

  const reliable = serve(bench, tcpPeer)
  t.ok(reliable.respond(100, answer(100)))
  t.notOk(reliable.respond(183, answer(183)))
  t.strictSame(bench.takeSent(), ['100'])
  t.strictSame(bench.sendingsWithin(4000), [], 'and then not once more')
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('RFC 4320 §4.2: no 408; who has not answered when the client gives up is silent', async (t) => {
  for (const elapsedMs of [0, 5000]) {
    const bench = new Bench()
    const transaction = serve(bench)
    bench.clock.advance(elapsedMs)
    bench.takeSent()
    t.notOk(transaction.respond(408, answer(408)))
    bench.receive(MESSAGE)
    t.notOk(bench.takeSent().includes('408'))
    t.strictSame(bench.takeHeard(), [], 'a copy is still a copy')
    bench.clock.advance(32_000 - elapsedMs)
    t.strictSame(bench.takeHeard(), ['timeout'])
    bench.assertEmpty(t)
  }
  const bench = new Bench({ timers: { t1Ms: 500, t2Ms: 500_000 } })
  serve(bench)
  bench.clock.advance(32_000)
  t.strictSame(bench.takeHeard(), ['timeout'], 'also if no 100 was due before')
  bench.assertEmpty(t)
})

t.test('over TCP J is zero: the response ends it', async (t) => {
  const bench = new Bench()
  t.ok(serve(bench, tcpPeer).respond(200, answer(200)))
  t.strictSame(
    bench.sent.map(({ to }) => to),
    [tcpPeer],
  )
  bench.assertEmpty(t)
})

t.test('RFC 6026 §8.8: a response that cannot be sent ends nothing', async (t) => {
  const bench = new Bench()
  const transaction = serve(bench)
  bench.clock.advance(3500)
  bench.layer.transportError(peer, answer(100))
  t.equal(transaction.state, 'proceeding')
  transaction.respond(200, answer(200))
  bench.layer.transportError(peer, answer(200))
  t.equal(transaction.state, 'completed')
  t.strictSame(bench.takeHeard(), ['transport', 'transport'])
  bench.clock.advance(32_000)
  bench.assertEmpty(t)
})

t.test('every arrow of the figure was walked', async (t) => {
  t.strictSame(
    cellsOf('nonInviteServer', nonInviteServer).filter((cell) => !visited.has(cell)),
    [],
  )
})

import t from 'tap'
import { nonInviteClient } from '../../../src/sip/transaction/non-invite-client.ts'
import { Bench, cellsOf, peer, recordCells, requestText, responseTo, tcpPeer } from './bench.ts'

const visited = recordCells(t)
const REGISTER = requestText('REGISTER', { branch: 'z9hG4bKr1' })

t.test('every copy of the request is lost: repeated up to every T2 until F', async (t) => {
  const bench = new Bench()
  bench.request(REGISTER)
  bench.takeSent()
  t.strictSame(
    bench.sendingsWithin(31_999),
    [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500].map((ms) => `${ms} REGISTER`),
  )
  bench.clock.advance(1)
  t.strictSame(bench.takeHeard(), ['timeout'])
  bench.assertEmpty(t)
})

t.test('a provisional response slows the repeating down to T2, and F still gives up', async (t) => {
  const bench = new Bench()
  bench.request(REGISTER)
  bench.takeSent()
  bench.clock.advance(600)
  bench.takeSent()
  bench.receive(responseTo(REGISTER, 100))
  bench.receive(responseTo(REGISTER, 100))
  t.strictSame(bench.takeHeard(), ['100', '100'])
  t.strictSame(
    bench.sendingsWithin(31_400),
    [900, 4900, 8900, 12_900, 16_900, 20_900, 24_900, 28_900].map((ms) => `${ms} REGISTER`),
    'the running E runs out first',
  )
  t.strictSame(bench.takeHeard(), ['timeout'])
  bench.assertEmpty(t)
})

t.test('the final response is heard once; copies are absorbed until K', async (t) => {
  for (const before of [[], [100]]) {
    for (const status of [200, 302, 404, 503, 603]) {
      const bench = new Bench()
      const transaction = bench.request(REGISTER)
      for (const provisional of before) bench.receive(responseTo(REGISTER, provisional))
      bench.takeSent()
      bench.receive(responseTo(REGISTER, status))
      t.equal(bench.clock.pending, 1, 'E and F have ended, K runs')
      bench.receive(responseTo(REGISTER, status))
      bench.receive(responseTo(REGISTER, 100))
      bench.receive(responseTo(REGISTER, 500))
      t.strictSame(bench.takeHeard(), [...before, status].map(String))
      t.equal(bench.layer.counters.retransmissionsReceived, 3)
      t.strictSame(bench.sendingsWithin(4999), [])
      t.equal(transaction.state, 'completed')
      bench.clock.advance(1)
      bench.assertEmpty(t)
    }
  }
})

t.test('over TCP nothing is repeated, K is zero, and F gives up', async (t) => {
  const bench = new Bench()
  bench.request(REGISTER, tcpPeer)
  bench.receive(responseTo(REGISTER, 200), tcpPeer)
  t.strictSame(bench.takeHeard(), ['200'])
  bench.assertEmpty(t)

  bench.request(REGISTER, tcpPeer)
  bench.takeSent()
  bench.receive(responseTo(REGISTER, 100), tcpPeer)
  t.strictSame(bench.sendingsWithin(32_000), [])
  t.strictSame(bench.takeHeard(), ['100', 'timeout'])
  bench.assertEmpty(t)
})

t.test('a transport error ends it', async (t) => {
  const bench = new Bench()
  bench.request(REGISTER)
  bench.layer.transportError(peer)
  t.strictSame(bench.takeHeard(), ['transport'])
  bench.assertEmpty(t)

  bench.request(REGISTER)
  bench.receive(responseTo(REGISTER, 100))
  bench.layer.transportError(peer)
  t.strictSame(
    bench.takeHeard(),
    ['100'],
    'an ICMP error without a name is not laid to one that was answered',
  )
  bench.layer.transportError(peer, REGISTER)
  t.strictSame(bench.takeHeard(), ['transport'])
  bench.assertEmpty(t)
})

t.test('it cannot be cancelled (§9.1)', async (t) => {
  const bench = new Bench()
  const transaction = bench.request(REGISTER)
  bench.receive(responseTo(REGISTER, 100))
  transaction.cancel()
  t.strictSame(bench.takeSent(), ['REGISTER'])
  bench.layer.close()
  bench.assertEmpty(t)
})

t.test('every arrow of the figure was walked', async (t) => {
  t.strictSame(
    cellsOf('nonInviteClient', nonInviteClient).filter((cell) => !visited.has(cell)),
    [],
  )
})

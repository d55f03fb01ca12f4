import t, { type Test } from 'tap'
import type { Transport, TransportEvents } from '../../src/net/transport.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import { MemberLink } from '../../stage1/member-link.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { batch, FakeTransport, MEMBERS, parsed, text, udp } from './fixture.ts'

const [A1_ROW] = MEMBERS
if (!A1_ROW) throw new Error('no members')
const A1 = udp(A1_ROW.address, A1_ROW.port)
const LOCAL = udp('10.0.0.1', 34_567)

/** A link over a fake transport, on time that stands still. `connect` may be replaced by what fails or waits. */
async function linked(connect?: (peer: Endpoint) => Promise<Transport>) {
  const clock = new FakeClock()
  const transport = new FakeTransport(LOCAL)
  const peers: Endpoint[] = []
  const changes: string[] = []
  let events: TransportEvents | undefined
  const link = await MemberLink.open(A1_ROW as NonNullable<typeof A1_ROW>, {
    node: 's1a',
    probeIntervalMs: 500,
    clock,
    connect: async (peer, heard) => {
      peers.push(peer)
      events = heard
      return connect ? await connect(peer) : transport
    },
    onChange: ({ node }, state, reason) => changes.push(`${node} ${state}: ${reason}`),
  })
  const hear = (wire: string) => events?.onMessages(batch(A1, wire), transport)
  const probe = () => transport.sent.at(-1)?.text ?? ''
  return {
    link,
    clock,
    transport,
    peers,
    changes,
    hear,
    probe,
    /** The member answers the latest probe, or `to`. */
    answer: (status = 200, to = probe()) => hear(respond(parsed(to), status) ?? ''),
    fail: (code: string) => events?.onError(Object.assign(new Error(code), { code }), A1),
  }
}

/** A test of links, of which nothing may be left when they are closed. */
function test(name: string, body: (t: Test, open: typeof linked) => Promise<void>): void {
  t.test(name, async (t) => {
    const links: Awaited<ReturnType<typeof linked>>[] = []
    await body(t, async (connect) => {
      const made = await linked(connect)
      links.push(made)
      return made
    })
    for (const { link, clock, transport } of links) {
      await link.close()
      t.same([clock.pending, transport.closes], [0, transport.sent.length > 0 ? 1 : 0], 'no timer, no socket')
    }
  })
}

test('a probe is an OPTIONS to the member itself, answered over the same socket', async (t, open) => {
  const { transport, peers, probe, clock } = await open()
  t.same(peers, [A1])
  t.same(transport.sent[0]?.to, A1)
  const id = parsed(probe()).callId
  t.match(id, /^probe-[0-9a-f]{16}-1$/)
  t.equal(
    probe(),
    text([
      'OPTIONS sip:10.0.0.11:5071 SIP/2.0',
      `Via: SIP/2.0/UDP 10.0.0.1:34567;branch=z9hG4bK${id};rport`,
      'Max-Forwards: 0',
      'From: <sip:s1a@10.0.0.1:34567>;tag=probe',
      'To: <sip:10.0.0.11:5071>',
      `Call-ID: ${id}`,
      'CSeq: 1 OPTIONS',
      'Content-Length: 0',
    ]),
  )
  clock.advance(499)
  t.equal(transport.sent.length, 1)
  clock.advance(1)
  t.equal(transport.sent.length, 2)
  t.equal(parsed(probe()).value(H.cseq), '2 OPTIONS')
  t.not(parsed(probe()).callId, id)
})

test('requests go to the member, over the same socket', async (t, open) => {
  const { link, transport } = await open()
  link.send('INVITE')
  t.same(transport.sent.at(-1), { text: 'INVITE', to: A1 })
})

test('up by an answer, down by two misses, at most 1.5 s after the last answer', async (t, open) => {
  const { link, clock, answer, changes } = await open()
  t.equal(link.health.state, 'unknown')
  answer()
  t.equal(link.health.state, 'up')
  clock.advance(1499)
  t.equal(link.health.state, 'up')
  clock.advance(1)
  t.equal(link.health.state, 'down')
  answer()
  clock.advance(500)
  answer()
  t.same(changes, ['a1 up: answers probes', 'a1 down: 2 probes unanswered', 'a1 up: answers probes'])
})

test('down at once when the connection is refused, not by other errors', async (t, open) => {
  const { link, answer, fail } = await open()
  answer()
  fail('ENOBUFS')
  t.equal(link.health.state, 'up')
  fail('ECONNREFUSED')
  t.equal(link.health.state, 'down')
  t.equal(link.health.reason, 'connection refused')
})

test('503 is alive, but not serving', async (t, open) => {
  const { link, clock, answer } = await open()
  answer(503)
  t.equal(link.health.state, 'not-serving')
  t.equal(link.health.reason, 'answers 503 Service Unavailable')
  clock.advance(500)
  answer(200)
  t.equal(link.health.state, 'not-serving')
  clock.advance(500)
  answer(200)
  t.equal(link.health.state, 'up')
})

test('only the final answer to the latest probe counts', async (t, open) => {
  const { link, clock, hear, answer, probe } = await open()
  const first = probe()
  clock.advance(500)
  answer(200, first)
  t.equal(link.health.state, 'unknown', 'a late one')
  answer(100)
  t.equal(link.health.state, 'unknown', 'a provisional one')
  const forged = parsed(probe()).callId.replace(/-[0-9a-f]{16}-/, '-0123456789abcdef-')
  answer(200, probe().replaceAll(parsed(probe()).callId, forged))
  t.equal(link.health.state, 'unknown', 'by one who has not seen it')
  hear(probe())
  hear('noise')
  t.equal(link.health.state, 'unknown', 'no answer at all')
  answer()
  t.equal(link.health.state, 'up')
  const { probe: other } = await open()
  t.not(parsed(other()).callId, parsed(first).callId, 'another process, or another link, asks something else')
})

test('a member that there is no way to yet is tried again', async (t, open) => {
  const transport = new FakeTransport(LOCAL)
  let isThereAWay = false
  const { link, clock, peers, changes } = await open(async () => {
    if (!isThereAWay) throw new Error('connect ENETUNREACH')
    return transport
  })
  t.equal(link.health.state, 'down')
  link.send('INVITE')
  clock.advance(500)
  await settled()
  t.equal(peers.length, 2)
  isThereAWay = true
  clock.advance(500)
  await settled()
  t.equal(peers.length, 3)
  t.equal(transport.sent.length, 1, 'probed at once')
  t.same(changes, ['a1 down: no way to it: connect ENETUNREACH'], 'and said once')
  clock.advance(500)
  t.equal(peers.length, 3)
})

test('closing while it connects leaves nothing open', async (t, open) => {
  const transport = new FakeTransport(LOCAL)
  let connect: (transport: Transport) => void = () => {}
  let isFirst = true
  const { link, clock, peers } = await open(async () => {
    if (!isFirst)
      return new Promise((resolve) => {
        connect = resolve
      })
    isFirst = false
    throw new Error('connect ENETUNREACH')
  })
  clock.advance(500)
  clock.advance(500)
  t.equal(peers.length, 2, 'one attempt at a time')
  const closed = link.close()
  connect(transport)
  await closed
  await settled()
  t.same([transport.closes, transport.sent.length], [1, 0])
})

/** What was waiting for promises has been done. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

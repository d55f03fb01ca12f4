import fc from 'fast-check'
import t from 'tap'
import type { ClientTransaction } from '../../../src/sip/transaction/client-transaction.ts'
import { ackTo, Bench, cancelOf, parsed, peer, requestText, responseTo, tcpPeer } from './bench.ts'

// Whatever happens, in whatever order: nothing throws, a user hears one outcome, and in the end nothing is left.

const statuses = fc.constantFrom(100, 180, 183, 199, 200, 202, 302, 401, 408, 486, 487, 503, 603, 699)
const pausesMs = fc.constantFrom(0, 1, 199, 500, 3500, 4000, 5000, 16_000, 32_000, 181_000)
const methods = fc.constantFrom('INVITE', 'MESSAGE')
const targets = fc.constantFrom(peer, tcpPeer)

const clientEvents = fc.oneof(
  fc.record({ kind: fc.constant('response' as const), status: statuses, tag: fc.constantFrom('a', 'b') }),
  fc.record({ kind: fc.constant('cancel' as const) }),
  fc.record({ kind: fc.constant('cancelAnswered' as const), status: statuses }),
  fc.record({ kind: fc.constant('icmp' as const) }),
  fc.record({ kind: fc.constant('unsent' as const) }),
  fc.record({ kind: fc.constant('pause' as const), ms: pausesMs }),
)

const serverEvents = fc.oneof(
  fc.record({ kind: fc.constant('respond' as const), status: statuses }),
  fc.record({ kind: fc.constant('copy' as const) }),
  fc.record({ kind: fc.constant('ack' as const) }),
  fc.record({ kind: fc.constant('cancel' as const) }),
  fc.record({ kind: fc.constant('unsent' as const), status: statuses }),
  fc.record({ kind: fc.constant('pause' as const), ms: pausesMs }),
)

const runs = { numRuns: 1500, seed: 3261 }

t.test('client transactions', async (t) => {
  const property = fc.property(
    methods,
    targets,
    fc.boolean(),
    fc.array(clientEvents, { maxLength: 25 }),
    (method, to, timerC, events) => {
      const bench = new Bench()
      const request = requestText(method, { branch: 'z9hG4bKp' })
      const heard: (number | string)[] = []
      const transaction: ClientTransaction = bench.layer.request(
        request,
        to,
        {
          response: ({ status }) => heard.push(status),
          failed: (_, failure) => heard.push(failure),
        },
        { timerC },
      )
      for (const event of events) {
        if (event.kind === 'response') bench.receive(responseTo(request, event.status, event.tag), to)
        else if (event.kind === 'cancel') transaction.cancel()
        else if (event.kind === 'cancelAnswered')
          bench.receive(responseTo(cancelOf(request), event.status), to)
        else if (event.kind === 'icmp') bench.layer.transportError(to)
        else if (event.kind === 'unsent') bench.layer.transportError(to, bench.sent.at(-1)?.text)
        else bench.clock.advance(event.ms)
      }
      // An INVITE that rings on without Timer C is for its user to end.
      transaction.cancel()
      bench.clock.advance(400_000)

      const finals = heard.filter((it) => typeof it === 'number' && it >= 200)
      const failures = heard.filter((it) => typeof it === 'string')
      const successes = finals.filter((it) => Number(it) < 300)
      if (failures.length > 1) throw new Error('failed twice')
      if (finals.length > 1 && (method !== 'INVITE' || successes.length < finals.length))
        throw new Error('two outcomes')
      if (finals.length === 0 && failures.length === 0) throw new Error('no outcome')
      if (heard.some((it, i) => typeof it === 'string' && i < heard.length - 1))
        throw new Error('heard something after the failure')
      const acks = bench.sent.filter(({ text }) => text.startsWith('ACK')).length
      if (acks > 0 !== (method === 'INVITE' && finals.length > successes.length))
        throw new Error('ACK: for a failed INVITE, always and only')
      const cancels = bench.sent.findIndex(({ text }) => text.startsWith('CANCEL'))
      if (cancels >= 0 && !heard.some((it) => Number(it) < 200))
        throw new Error('CANCEL before a provisional response')
      if (bench.layer.entries + bench.clock.pending > 0) throw new Error('something is left')
    },
  )
  fc.assert(property, runs)
  t.pass(`${runs.numRuns} runs`)
})

t.test('server transactions', async (t) => {
  const property = fc.property(
    methods,
    targets,
    fc.constantFrom('192.0.2.1;branch=z9hG4bKp', '192.0.2.1'),
    fc.array(serverEvents, { maxLength: 25 }),
    (method, source, via, events) => {
      const bench = new Bench({ detectMerged: true })
      const request = requestText(method, { via: `SIP/2.0/UDP ${via}` })
      bench.receive(request, source)
      const transaction = bench.serving[0]
      if (!transaction) throw new Error('not served')
      let final = 0
      for (const event of events) {
        if (event.kind === 'respond') {
          const sent = transaction.reply(event.status)
          if (sent && final >= 300) throw new Error('two final responses')
          if (sent && method === 'MESSAGE' && event.status === 408) throw new Error('RFC 4320 §4.2')
          if (sent && event.status >= 200) final = event.status
        } else if (event.kind === 'copy') {
          if (transaction.state !== 'terminated') bench.receive(request, source)
        } else if (event.kind === 'ack') bench.receive(ackTo(request, transaction.tag), source)
        else if (event.kind === 'cancel') bench.receive(cancelOf(request), source)
        else if (event.kind === 'unsent') {
          bench.layer.transportError(source, responseTo(request, event.status, transaction.tag))
        } else bench.clock.advance(event.ms)
      }
      if (transaction.state !== 'terminated') transaction.reply(500)
      bench.clock.advance(64_000)
      if (transaction.state !== 'terminated') throw new Error(`still ${transaction.state}`)
      for (const unmatched of bench.serving) unmatched.reply(481)
      bench.clock.advance(64_000)
      if (bench.layer.entries + bench.clock.pending > 0) throw new Error('something is left')
      for (const { text } of bench.sent) parsed(text)
    },
  )
  fc.assert(property, runs)
  t.pass(`${runs.numRuns} runs`)
})

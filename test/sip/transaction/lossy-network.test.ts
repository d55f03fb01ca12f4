import t from 'tap'
import type { Endpoint } from '../../../src/sip/endpoint.ts'
import { newBranch } from '../../../src/sip/transaction/branch.ts'
import { TransactionLayer } from '../../../src/sip/transaction/layer.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { parsed, peer, requestText, us } from './bench.ts'

/** The same numbers for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Two layers, and between them a network that loses a part of all datagrams, doubles another, and overtakes. */
class World {
  readonly clock = new FakeClock()
  readonly client: TransactionLayer
  readonly server: TransactionLayer
  /** Final responses by Call-ID, as the callers heard them. */
  readonly outcomes = new Map<string, string[]>()
  readonly requests: string[] = []
  #random: () => number
  #loss: number

  constructor(seed: number, loss: number) {
    this.#random = randomNumbers(seed)
    this.#loss = loss
    const { clock } = this
    this.client = new TransactionLayer(
      { clock, send: (text) => this.#carry(text, us, () => this.server) },
      { request: () => {}, ack: () => {} },
    )
    this.server = new TransactionLayer(
      { clock, send: (text) => this.#carry(text, peer, () => this.client) },
      {
        request: (request, source) => {
          const transaction = this.server.serve(request, source, { cancelled: (it) => it.reply(487) })
          // Late, when all that was left of its INVITE has gone.
          if (request.method === 'CANCEL') {
            transaction?.reply(481)
            return
          }
          this.requests.push(request.callId)
          const delayMs = Math.floor(this.#random() * 6000)
          this.clock.schedule(delayMs, () => transaction?.reply(this.#random() < 0.5 ? 200 : 486))
        },
        ack: () => {},
      },
    )
  }

  call(method: string, callId: string, cancelAfterMs?: number): void {
    const heard: string[] = []
    this.outcomes.set(callId, heard)
    const transaction = this.client.request(requestText(method, { callId, branch: newBranch() }), peer, {
      response: ({ status }) => {
        if (status >= 200) heard.push(String(status))
      },
      failed: (_, failure) => heard.push(failure),
    })
    if (cancelAfterMs !== undefined) this.clock.schedule(cancelAfterMs, () => transaction.cancel())
  }

  #carry(text: string, source: Endpoint, to: () => TransactionLayer): void {
    for (let copies = this.#random() < 0.1 ? 2 : 1; copies > 0; copies--) {
      if (this.#random() < this.#loss) continue
      this.clock.schedule(Math.floor(this.#random() * 300), () => to().receive(parsed(text), source))
    }
  }
}

for (const loss of [0, 0.2, 0.4]) {
  t.test(`every transaction completes with ${loss * 100} % of the datagrams lost`, async (t) => {
    let answered = 0
    let all = 0
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed, loss)
      for (let i = 0; i < 10; i++) {
        world.call('INVITE', `invite-${i}`)
        world.call('MESSAGE', `message-${i}`)
        world.call('INVITE', `cancelled-${i}`, 100 + i * 500)
      }
      // Four minutes: an answered INVITE whose 2xx is lost rings until Timer C, which this caller has not.
      world.clock.advance(240_000)
      t.equal(world.requests.length, new Set(world.requests).size, 'no copy is taken for a new request')
      for (const [callId, heard] of world.outcomes) {
        all++
        if (heard.length > 0 && heard[0] !== 'timeout') answered++
        t.ok(new Set(heard).size <= 1, `${callId}, seed ${seed}: one outcome, heard ${heard.join(' ')}`)
      }
      world.client.close()
      world.server.close()
      t.equal(world.client.entries + world.server.entries, 0)
      t.equal(world.clock.pending, 0)
    }
    t.ok(answered / all >= 1 - loss, `${answered} of ${all} answered`)
  })
}

t.test('a failure and its ACK are lost again and again, and the call still ends in order', async (t) => {
  const clock = new FakeClock()
  const dropped = new Map<string, number>()
  const drop = (text: string) => {
    const what = text.slice(0, 11)
    const times = dropped.get(what) ?? 0
    dropped.set(what, times + 1)
    return times < 3
  }
  const heard: number[] = []
  const client: TransactionLayer = new TransactionLayer(
    { clock, send: (text) => drop(text) || server.receive(parsed(text), us) },
    { request: () => {}, ack: () => {} },
  )
  const server: TransactionLayer = new TransactionLayer(
    { clock, send: (text) => drop(text) || client.receive(parsed(text), peer) },
    { request: (request, source) => server.serve(request, source, {})?.reply(486), ack: () => {} },
  )
  client.request(requestText('INVITE'), peer, {
    response: ({ status }) => heard.push(status),
    failed: () => {},
  })
  clock.advance(60_000)
  t.strictSame(heard, [486])
  t.equal(client.counters.timeouts + server.counters.timeouts, 0)
  t.equal(client.entries + server.entries + clock.pending, 0)
})

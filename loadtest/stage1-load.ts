import type { InboundBatch, Transport } from '../src/net/transport.ts'
import { openUdp } from '../src/net/udp.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { invite, register, type Sample, variantOf } from './sip-samples.ts'

/*
 * The load of `bench:stage1`, a process of its own: clients, and behind the server under test a responder in place of stage 2.
 */

export type LoadOrder =
  | { readonly type: 'flood'; readonly server: Endpoint; readonly kind: Kind; readonly transactions: number }
  | { readonly type: 'pace'; readonly server: Endpoint; readonly rate: number; readonly seconds: number }

export type LoadResult =
  | { readonly type: 'ready' }
  | { readonly type: 'flood'; readonly elapsedMs: number; readonly lost: number }
  | { readonly type: 'pace'; readonly delaysUs: readonly number[]; readonly lost: number }

export type Kind = 'register' | 'invite'

/** What the clients and responders of the benchmark have for addresses. */
export interface LoadAddresses {
  readonly clients: string
  /** Answers to the Via, as stage 2 does. */
  readonly responder: Endpoint
  /** Answers to where the request came from: behind a relay that adds no Via. */
  readonly echo: Endpoint
}

const SAMPLES: Readonly<Record<Kind, Sample>> = { register, invite }
const CLIENTS = 16
const VARIANTS = 256
/** Transactions that all clients together have open. */
const WINDOW = 512
/** Without an answer for so long, what is open counts as lost. */
const STALL_MS = 1000

class Client {
  readonly #transport: Transport
  readonly #load: Load
  #texts: readonly string[] = []
  #server!: Endpoint
  #next = 0

  private constructor(transport: Transport, load: Load) {
    this.#transport = transport
    this.#load = load
  }

  static async open(address: string, load: Load): Promise<Client> {
    let client: Client | undefined
    const transport = await openUdp(
      { address, port: 0, option: '--' },
      { onMessages: (batch) => client && load.answered(client, batch), onError: () => {} },
    )
    client = new Client(transport, load)
    return client
  }

  aim(server: Endpoint, sample: Sample): void {
    this.#server = server
    this.#texts = Array.from({ length: VARIANTS }, (_, i) => sample(i, this.#transport.local, server))
  }

  /** Sends the next request and says which variant it is. */
  send(): number {
    const variant = this.#next++ % VARIANTS
    this.#load.sent++
    this.#transport.send(this.#texts[variant] ?? '', this.#server)
    return variant
  }
}

class Load {
  sent = 0
  #answers = 0
  #wanted = 0
  #flooding = false
  #clients: readonly Client[] = []
  #onAnswer: (variant: number, client: Client) => void = () => {}
  #done: () => void = () => {}

  async open(address: string): Promise<void> {
    this.#clients = await Promise.all(Array.from({ length: CLIENTS }, () => Client.open(address, this)))
  }

  answered(client: Client, batch: InboundBatch): void {
    this.#answers += batch.length
    if (!this.#flooding) {
      for (let i = 0; i < batch.length; i++) this.#onAnswer(variantOf(batch.text(i)), client)
      return
    }
    for (let i = 0; i < batch.length && this.sent < this.#wanted; i++) client.send()
    if (this.#answers >= this.#wanted) this.#done()
  }

  /** As fast as the server answers. */
  async flood(order: LoadOrder & { type: 'flood' }): Promise<LoadResult> {
    for (const client of this.#clients) client.aim(order.server, SAMPLES[order.kind])
    this.#flooding = true
    this.sent = 0
    this.#answers = 0
    this.#wanted = order.transactions
    const begin = performance.now()
    let lost = 0
    await new Promise<void>((resolve) => {
      this.#done = resolve
      for (let i = 0; i < WINDOW; i++) this.#clients[i % CLIENTS]?.send()
      let seen = -1
      const watch = setInterval(() => {
        if (this.#answers >= this.#wanted) return clearInterval(watch)
        if (this.#answers !== seen) seen = this.#answers
        else {
          const gone = this.sent - this.#answers
          lost += gone
          this.#answers += gone
          seen = this.#answers
          for (let i = 0; i < WINDOW && this.sent < this.#wanted; i++) this.#clients[i % CLIENTS]?.send()
          if (this.#answers >= this.#wanted) resolve()
        }
      }, STALL_MS)
    })
    this.#flooding = false
    return { type: 'flood', elapsedMs: performance.now() - begin, lost }
  }

  /** Evenly, and each answer's delay. */
  async pace(order: LoadOrder & { type: 'pace' }): Promise<LoadResult> {
    for (const client of this.#clients) client.aim(order.server, register)
    const begun = new Map<string, bigint>()
    const delaysUs: number[] = []
    const numbers = new Map(this.#clients.map((client, i) => [client, i]))
    const key = (client: Client, variant: number) => `${numbers.get(client)} ${variant}`
    this.#onAnswer = (variant, client) => {
      const since = begun.get(key(client, variant))
      if (since === undefined) return
      begun.delete(key(client, variant))
      delaysUs.push(Number(process.hrtime.bigint() - since) / 1000)
    }
    const total = order.rate * order.seconds
    let lost = 0
    const start = performance.now()
    await new Promise<void>((resolve) => {
      let sent = 0
      const tick = setInterval(() => {
        // At most one a millisecond at a time: a timer that comes late does not make a burst.
        const due = Math.floor(((performance.now() - start) / 1000) * order.rate)
        if (sent < due) {
          const client = this.#clients[sent % CLIENTS] as Client
          const now = process.hrtime.bigint()
          const name = key(client, client.send())
          if (begun.has(name)) lost++
          begun.set(name, now)
          sent++
        }
        if (sent >= total) {
          clearInterval(tick)
          setTimeout(resolve, 100)
        }
      }, 1)
    })
    return { type: 'pace', delaysUs, lost: lost + begun.size }
  }
}

const ANSWER = 'SIP/2.0 200 OK'
const VIA = '\r\nVia: SIP/2.0/UDP '

/** Echoes every request as a response. */
async function respond(at: Endpoint, to: 'via' | 'source'): Promise<void> {
  const senders = new Map<string, Endpoint>()
  const viaOf = (text: string, start: number): Endpoint => {
    const from = text.indexOf(VIA, start) + VIA.length
    const host = text.slice(from, text.indexOf(';', from))
    let endpoint = senders.get(host)
    if (!endpoint) {
      const [address = '', port = '5060'] = host.split(':')
      endpoint = { transport: 'udp', address, port: Number(port) }
      senders.set(host, endpoint)
    }
    return endpoint
  }
  await openUdp(
    { address: at.address, port: at.port, option: '--' },
    {
      onMessages(batch, transport) {
        for (let i = 0; i < batch.length; i++) {
          const text = batch.text(i)
          const line = text.indexOf('\r\n')
          const target = to === 'via' ? viaOf(text, line) : batch.source(i)
          transport.send(ANSWER + text.slice(line), target)
        }
      },
      onError: () => {},
    },
  )
}

const report = (result: LoadResult) => process.send?.(result)

const addresses = JSON.parse(process.argv[2] ?? '{}') as LoadAddresses
const load = new Load()
await load.open(addresses.clients)
await respond(addresses.responder, 'via')
await respond(addresses.echo, 'source')
process.on('message', (order: LoadOrder) => {
  void (order.type === 'flood' ? load.flood(order) : load.pace(order)).then(report)
})
process.on('disconnect', () => process.exit())
report({ type: 'ready' })

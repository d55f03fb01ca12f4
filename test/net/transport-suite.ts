import type { Test } from 'tap'
import type { Transport, TransportEvents } from '../../src/net/transport.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

export interface OpenOptions {
  readonly address: string
  readonly port: number
  readonly option: string
  readonly peer?: Endpoint
}

export type OpenTransport = (options: OpenOptions, events: TransportEvents) => Promise<Transport>

interface Received {
  readonly text: string
  readonly source: Endpoint
}

interface Failure {
  readonly error: NodeJS.ErrnoException
  readonly to: Endpoint | undefined
}

/** The longest UDP payload over IPv4. */
const MAX_BYTES = 65_507

/** One transport and what it hears. */
class Peer {
  readonly messages = new Inbox<Received>()
  readonly failures = new Inbox<Failure>()
  #transport!: Transport

  static async open(open: OpenTransport, options: Omit<OpenOptions, 'option'>): Promise<Peer> {
    const peer = new Peer()
    peer.#transport = await open(
      { ...options, option: 'some.option' },
      {
        onMessages: (batch) => {
          for (let i = 0; i < batch.length; i++)
            peer.messages.put({ text: batch.text(i), source: batch.source(i) })
        },
        onError: (error, to) => peer.failures.put({ error, to }),
      },
    )
    return peer
  }

  get local(): Endpoint {
    return this.#transport.local
  }

  send(text: string, to: Endpoint): void {
    this.#transport.send(text, to)
  }

  close(): Promise<void> {
    return this.#transport.close()
  }
}

/** What came, in its order, to be waited for. */
class Inbox<T> {
  #items: T[] = []
  #waiting: ((item: T) => void)[] = []

  get size(): number {
    return this.#items.length
  }

  put(item: T): void {
    const next = this.#waiting.shift()
    if (next) next(item)
    else this.#items.push(item)
  }

  take(): Promise<T> {
    const item = this.#items.shift()
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item)
  }
}

/** What every implementation of a UDP transport must do; `address` is a loopback address of the suite's own. */
export function udpTransportSuite(t: Test, open: OpenTransport, address: string): void {
  const peerOn = async (t: Test, options: Partial<OpenOptions> = {}) => {
    const peer = await Peer.open(open, { address, port: 0, ...options })
    t.teardown(() => peer.close())
    return peer
  }
  const endpoint = (port: number, host = address): Endpoint => ({ transport: 'udp', address: host, port })

  for (const [family, host] of [
    ['IPv4', address],
    ['IPv6', '::1'],
  ] as const) {
    t.test(`${family}: there and back, and from where`, async (t) => {
      const [a, b] = [await peerOn(t, { address: host }), await peerOn(t, { address: host })]
      t.match(a.local, { transport: 'udp', address: host })
      t.ok(a.local.port > 0, 'port 0 is any')
      a.send('there', b.local)
      const { text, source } = await b.messages.take()
      t.same([text, source], ['there', a.local])
      b.send('back', source)
      t.same(await a.messages.take(), { text: 'back', source: b.local })
    })
  }

  t.test('any bytes, of any length', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code))
    for (const text of [all, '', all.repeat(256).slice(0, MAX_BYTES)]) {
      a.send(text, b.local)
      t.ok((await b.messages.take()).text === text, `${text.length} bytes`)
    }
  })

  t.test('messages keep their order and their borders', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}`)
    for (const text of texts) a.send(text, b.local)
    const received: string[] = []
    for (const _ of texts) received.push((await b.messages.take()).text)
    t.same(received, texts)
  })

  t.test('what cannot be sent is an event, never an exception', async (t) => {
    const a = await peerOn(t)
    const impossible: [text: string, to: Endpoint][] = [
      ['x'.repeat(MAX_BYTES + 1), endpoint(9)],
      // Anybody may send from port 0, and would then be answered there.
      ['x', endpoint(0)],
      ['x', endpoint(9, '2001:db8::1')],
      ['x', endpoint(9, 'phone.example.com')],
    ]
    for (const [text, to] of impossible) {
      a.send(text, to)
      const failure = await a.failures.take()
      t.match(failure.error.code, /^E/)
      t.same(failure.to, to)
    }
  })

  t.test('a connected one hears its peer alone, and that it is gone', async (t) => {
    const [peer, stranger] = [await peerOn(t), await peerOn(t)]
    const connected = await peerOn(t, { peer: peer.local })
    stranger.send('not heard', connected.local)
    connected.send('hello', stranger.local)
    t.same(await peer.messages.take(), { text: 'hello', source: connected.local }, 'it sends to nobody else')
    peer.send('heard', connected.local)
    t.equal((await connected.messages.take()).text, 'heard')
    await peer.close()
    connected.send('anybody there?', peer.local)
    const { error, to } = await connected.failures.take()
    t.equal(error.code, 'ECONNREFUSED')
    t.same(to, peer.local)
    const back = await peerOn(t, { port: peer.local.port })
    connected.send('hello again', peer.local)
    t.equal((await back.messages.take()).text, 'hello again', 'and works again when somebody is back')
  })

  t.test('an address that cannot be had', async (t) => {
    const { port } = (await peerOn(t)).local
    await t.rejects(Peer.open(open, { address, port }), {
      name: 'TandemError',
      code: 'PORT_TAKEN',
      message: `UDP ${address} port ${port} is taken by another process`,
      hint: 'stop it, or set some.option',
    })
    await t.rejects(Peer.open(open, { address: '192.0.2.1', port: 0 }), { code: 'ADDRESS_UNAVAILABLE' })
    await t.rejects(Peer.open(open, { address, port: 0, peer: endpoint(9, '::1') }), Error)
  })

  t.test('closing', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    a.send('the last word', b.local)
    const closing = a.close()
    a.send('one too many', b.local)
    await Promise.all([closing, a.close()])
    t.equal((await b.messages.take()).text, 'the last word', 'what was queued has left')
    const again = await peerOn(t, { port: a.local.port })
    again.send('the port is free', b.local)
    t.equal((await b.messages.take()).text, 'the port is free')
    t.same([a.failures.size, b.messages.size], [0, 0])
  })
}

/** UDP sockets that this process has open. One that was closed is gone at the end of the next turn of the event loop. */
export async function openSockets(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  return process.getActiveResourcesInfo().filter((resource) => resource === 'UDPWrap').length
}

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { Test } from 'tap'
import type {
  InboundBatch,
  Transport,
  TransportEvents,
  UdpOptions,
  UdpTransport,
} from '../../src/net/transport.ts'
import { openUdp, type UdpChoice } from '../../src/net/udp.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

type OpenTransport = (options: UdpOptions, events: TransportEvents) => Promise<UdpTransport>

interface Received {
  readonly text: string
  readonly source: Endpoint
}

interface Failure {
  readonly error: NodeJS.ErrnoException
  readonly to: Endpoint | undefined
}

/** The longest UDP payloads. */
const MAX_BYTES = 65_507
const MAX_BYTES_IPV6 = 65_527

/** One transport and what it hears. */
class Peer {
  readonly messages = new Inbox<Received>()
  readonly failures = new Inbox<Failure>()
  /** Called before a batch is read. */
  onBatch: ((batch: InboundBatch, transport: Transport) => void) | undefined
  onFailure: ((failure: Failure) => void) | undefined
  #transport!: UdpTransport

  static async open(open: OpenTransport, options: Omit<UdpOptions, 'option'>): Promise<Peer> {
    const peer = new Peer()
    peer.#transport = await open(
      { ...options, option: 'some.option' },
      {
        onMessages: (batch, transport) => {
          peer.onBatch?.(batch, transport)
          for (let i = 0; i < batch.length; i++)
            peer.messages.put({ text: batch.text(i), source: batch.source(i) })
        },
        onError: (error, to) => {
          peer.failures.put({ error, to })
          peer.onFailure?.({ error, to })
        },
      },
    )
    return peer
  }

  get local(): Endpoint {
    return this.#transport.local
  }

  get counters(): UdpTransport['counters'] {
    return this.#transport.counters
  }

  get buffers(): UdpTransport['buffers'] {
    return this.#transport.buffers
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
export function udpTransportSuite(t: Test, choice: UdpChoice, address: string): void {
  const open: OpenTransport = (options, events) => openUdp({ ...options, choice }, events)
  const peerOn = async (t: Test, options: Partial<UdpOptions> = {}) => {
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

    t.test(`${family}: connected`, async (t) => {
      const peer = await peerOn(t, { address: host })
      const connected = await peerOn(t, { address: host, peer: peer.local })
      connected.send('hello', peer.local)
      t.same(await peer.messages.take(), { text: 'hello', source: connected.local })
      peer.send('heard', connected.local)
      t.same(await connected.messages.take(), { text: 'heard', source: peer.local })
    })
  }

  t.test('any bytes, of any length', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code))
    for (const text of [all, '', all.repeat(256).slice(0, MAX_BYTES)]) {
      a.send(text, b.local)
      t.ok((await b.messages.take()).text === text, `${text.length} bytes`)
    }
    const [c, d] = [await peerOn(t, { address: '::1' }), await peerOn(t, { address: '::1' })]
    const longest = all.repeat(256).slice(0, MAX_BYTES_IPV6)
    c.send(longest, d.local)
    t.ok((await d.messages.take()).text === longest, `${longest.length} bytes over IPv6`)
    c.send(`${longest}x`, d.local)
    t.equal((await c.failures.take()).error.code, 'EMSGSIZE')
  })

  t.test('messages keep their order and their borders', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}`)
    for (const text of texts) a.send(text, b.local)
    const received: string[] = []
    for (const _ of texts) received.push((await b.messages.take()).text)
    t.same(received, texts)
  })

  t.test('a burst is larger than any buffer: each message arrives, or is counted as lost', async (t) => {
    const [a, b] = [await peerOn(t, { bufferBytes: 32_768 }), await peerOn(t)]
    const count = 2_000
    const texts = Array.from({ length: count }, (_, i) => `${i} ${'x'.repeat(i % 1_000)}`)
    for (const text of texts) a.send(text, b.local)
    // The last of all is told apart and repeated: what comes before it has come by then, or never will.
    const received: string[] = []
    for (let last = ''; last !== 'end'; received.push(last)) {
      if (b.messages.size === 0) a.send('end', b.local)
      last = (await b.messages.take()).text
    }
    const { sent, failed } = a.counters
    t.equal(received.filter((text) => text !== 'end').length + failed, count)
    t.ok(sent >= received.length)
    const expected = texts.filter((text) => received.includes(text))
    t.same(
      received.filter((text) => text !== 'end'),
      expected,
      'in order',
    )
    t.ok(b.counters.received >= received.length && b.counters.batches > 0)
  })

  t.test('buffers are as large as wished, and it is said how large', async (t) => {
    const { receiveBytes, sendBytes } = (await peerOn(t, { bufferBytes: 65_536 })).buffers
    t.ok(receiveBytes >= 65_536 && receiveBytes <= 4 * 65_536, `${receiveBytes}`)
    t.ok(sendBytes >= 65_536 && sendBytes <= 4 * 65_536, `${sendBytes}`)
    t.ok((await peerOn(t)).buffers.receiveBytes > receiveBytes, 'larger by default')
  })

  t.test('what cannot be sent is an event, never an exception', async (t) => {
    const a = await peerOn(t)
    const impossible: [text: string, to: Endpoint, code: RegExp][] = [
      ['x'.repeat(MAX_BYTES + 1), endpoint(9), /^EMSGSIZE$/],
      // Anybody may send from port 0, and would then be answered there.
      ['x', endpoint(0), /^E/],
      ['x', endpoint(9, '2001:db8::1'), /^E/],
      ['x', endpoint(9, '::ffff:127.0.0.1'), /^E/],
      ['x', endpoint(9, 'phone.example.com'), /^E/],
      ['x', endpoint(9, '127.0.0.256'), /^E/],
    ]
    for (const [text, to, code] of impossible) {
      a.send(text, to)
      const failure = await a.failures.take()
      t.match(failure.error.code, code)
      t.same(failure.to, to)
    }
    t.equal(a.counters.failed, impossible.length)
    const six = await peerOn(t, { address: '::1' })
    six.send('x', endpoint(9))
    t.same((await six.failures.take()).to, endpoint(9), 'nor over IPv6 to IPv4')
  })

  t.test('what cannot be sent does not hold up what can, nor does telling of it', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    a.onFailure = () => a.send('told', b.local)
    a.send('one', b.local)
    a.send('never', endpoint(0))
    a.send('two', b.local)
    const received = [(await b.messages.take()).text, (await b.messages.take()).text]
    received.push((await b.messages.take()).text)
    t.same(received.sort(), ['one', 'told', 'two'])
  })

  t.test('each of several sockets hears its own, and speaks as itself', async (t) => {
    const a = await peerOn(t)
    const others: Peer[] = []
    for (let i = 0; i < 10; i++) others.push(await peerOn(t))
    for (const [i, other] of others.entries()) a.send(`to ${i}`, other.local)
    for (const [i, other] of others.entries()) {
      const { text, source } = await other.messages.take()
      t.equal(text, `to ${i}`)
      other.send(`from ${i}`, source)
    }
    const answers = new Map<number, string>()
    for (const _ of others) {
      const { text, source } = await a.messages.take()
      answers.set(source.port, text)
    }
    t.same(
      others.map(({ local }) => answers.get(local.port)),
      others.map((_, i) => `from ${i}`),
    )
  })

  t.test('what is sent while messages are delivered, or much later, leaves alike', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    b.onBatch = (batch, transport) => transport.send('at once', batch.source(0))
    a.send('hello', b.local)
    const { source } = await b.messages.take()
    t.equal((await a.messages.take()).text, 'at once')
    await new Promise((resolve) => setTimeout(resolve, 1))
    b.send('from a timer', source)
    t.equal((await a.messages.take()).text, 'from a timer')
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
    await t.rejects(Peer.open(open, { address, port: 0, peer: endpoint(9, 'phone.example.com') }), Error)
    t.equal(await openSockets(), 1, 'and nothing stays open')
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

  t.test('closing with much still to be sent', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    for (let i = 0; i < 1_000; i++) a.send(`${i}`, b.local)
    await a.close()
    const again = await peerOn(t, { port: a.local.port })
    again.send('end', b.local)
    let count = 0
    for (let text = ''; text !== 'end'; count++) text = (await b.messages.take()).text
    t.ok(count > 1 && count <= 1_001, `${count - 1} have left`)
    t.equal(a.failures.size, 0)
  })

  t.test('closing while messages are delivered', async (t) => {
    const [a, b] = [await peerOn(t), await peerOn(t)]
    let deliveries = 0
    b.onBatch = (_, transport) => {
      deliveries++
      transport.send('good bye', a.local)
      void transport.close()
    }
    for (let i = 0; i < 100; i++) a.send(`${i}`, b.local)
    t.equal((await a.messages.take()).text, 'good bye')
    t.equal((await b.messages.take()).text, '0', 'the batch can be read to its end')
    // Whatever else was under way has come when this one's own message has.
    const witness = await peerOn(t)
    a.send('look', witness.local)
    await witness.messages.take()
    t.equal(deliveries, 1)
    t.ok(b.messages.size < 100)
  })

  t.test('in a worker thread that ends with its sockets open', async (t) => {
    const a = await peerOn(t)
    const worker = echoThread(choice, address)
    const [port] = await new Promise<[number]>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    for (const text of ['one', 'two']) {
      a.send(text, endpoint(port))
      t.equal((await a.messages.take()).text, text)
    }
    await worker.terminate()
    const again = await peerOn(t, { port })
    a.send('it is free', again.local)
    t.equal((await again.messages.take()).text, 'it is free', 'its port is free')
  })
}

/** A thread that sends back what it gets; it says on which port. */
function echoThread(choice: UdpChoice, address: string): Worker {
  const fixture = new URL('./echo-thread.ts', import.meta.url).href
  // Loaders are not inherited by threads.
  const code = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(fixture)}) })`
  return new Worker(code, { eval: true, execArgv: [], workerData: { choice, address } })
}

/** UDP sockets that this process has open. One that was closed is gone at the end of the next turn of the event loop. */
export async function openSockets(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  if (process.platform !== 'linux')
    return process.getActiveResourcesInfo().filter((resource) => resource === 'UDPWrap').length
  const inodes = new Set(['/proc/self/net/udp', '/proc/self/net/udp6'].flatMap(udpInodes))
  return readdirSync('/proc/self/fd').filter((fd) => inodes.has(inodeOf(fd))).length
}

/** Column 10 of the kernel's table of sockets. */
const udpInodes = (table: string): (string | undefined)[] =>
  readFileSync(table, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/ +/)[9])

function inodeOf(fd: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1]
  } catch {
    // The directory that was being read.
    return undefined
  }
}

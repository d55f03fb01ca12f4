import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import type { StreamLimits, StreamOptions } from '../../src/net/stream-options.ts'
import type { StreamTransport } from '../../src/net/stream-transport.ts'
import { openTcp } from '../../src/net/tcp.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { StreamClient, type StreamClientOptions, turn, until } from '../support/stream-client.ts'

const ADDRESS = '127.0.53.1'
const LIMITS: StreamLimits = {
  maxConnections: 100,
  maxPerSource: 100,
  maxOpened: 10,
  connectSec: 5,
  firstMessageSec: 20,
  messageSec: 10,
  idleSec: 200,
  bufferBytes: 262_144,
  bytesPerSec: 8_388_608,
  totalBufferBytes: 1_048_576,
}

const request = (callId: string, body = '') =>
  [
    'OPTIONS sip:example.com SIP/2.0',
    'Via: SIP/2.0/TCP client.example.com;branch=z9hG4bKx',
    'From: <sip:a@example.com>;tag=1',
    'To: <sip:b@example.com>',
    `Call-ID: ${callId}`,
    'CSeq: 1 OPTIONS',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n')
const without = (text: string, name: string) => text.replace(new RegExp(`${name}: .*\r\n`), '')

interface Failure {
  readonly code: string | undefined
  readonly to: Endpoint | undefined
  readonly unsent: string | undefined
}

const nodes: Node[] = []

/** A transport, its clock, and what it has told. */
class Node {
  readonly clock = new FakeClock()
  readonly texts: string[] = []
  readonly sources: Endpoint[] = []
  readonly batches: number[] = []
  readonly failures: Failure[] = []
  /** What is sent back for each message, at once. */
  answer: string | undefined
  transport!: StreamTransport

  static async open(
    t: Test,
    limits: Partial<StreamLimits> = {},
    more: Partial<StreamOptions> = {},
  ): Promise<Node> {
    const node = new Node()
    node.transport = await openTcp(
      {
        address: ADDRESS,
        port: 0,
        option: 'some.option',
        limits: { ...LIMITS, ...limits },
        clock: node.clock,
        ...more,
      },
      {
        onMessages: (batch, transport) => {
          node.batches.push(batch.length)
          for (let i = 0; i < batch.length; i++) {
            node.texts.push(batch.text(i))
            node.sources.push(batch.source(i))
            if (node.answer !== undefined) transport.send(node.answer, batch.source(i))
          }
        },
        onError: ({ code }, to, unsent) => node.failures.push({ code, to, unsent }),
      },
    )
    t.teardown(() => node.close())
    nodes.push(node)
    return node
  }

  get local(): Endpoint {
    return this.transport.local
  }

  get counters() {
    return this.transport.counters
  }

  send(text: string, to: Endpoint): void {
    this.transport.send(text, to)
  }

  /** The flow of the latest message. */
  get flow(): Endpoint {
    return this.sources.at(-1) as Endpoint
  }

  async close(): Promise<void> {
    const closing = this.transport.close()
    // Peers that do not close are waited for by the clock.
    while (this.clock.pending > 0) {
      this.clock.advance(1_000)
      await turn()
    }
    await closing
  }
}

async function client(t: Test, node: Node, options: StreamClientOptions = {}): Promise<StreamClient> {
  const client = await StreamClient.open(node.local, options)
  t.teardown(() => client.reset())
  return client
}

/** A client whose first message has arrived. */
async function knownClient(t: Test, node: Node): Promise<{ peer: StreamClient; flow: Endpoint }> {
  const peer = await client(t, node)
  const before = node.texts.length
  peer.write(request('hello'))
  await until(() => node.texts.length > before)
  return { peer, flow: node.flow }
}

/** Where nobody listens. */
async function deadEnd(): Promise<Endpoint> {
  const server = createServer().listen(0, ADDRESS)
  await until(() => server.listening)
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return { transport: 'tcp', address: ADDRESS, port }
}

for (const [family, address] of [
  ['IPv4', ADDRESS],
  ['IPv6', '::1'],
] as const) {
  t.test(`${family}: there and back, and from where`, async (t) => {
    const [a, b] = [await Node.open(t, {}, { address }), await Node.open(t, {}, { address })]
    t.match(a.local, { transport: 'tcp', address })
    a.send(request('there'), b.local)
    await until(() => b.texts.length === 1)
    t.same(b.texts, [request('there')])
    t.match(b.flow, { transport: 'tcp', address, connection: Number })
    t.not(b.flow.port, a.local.port)
    t.ok(b.transport.isOpen(b.flow))
    b.send('SIP/2.0 200 OK\r\nl: 0\r\n\r\n', b.flow)
    await until(() => a.texts.length === 1)
    t.same(a.texts, ['SIP/2.0 200 OK\r\nl: 0\r\n\r\n'])
    t.match(a.flow, { address, port: b.local.port, connection: Number })
    t.match(
      [a.counters, b.counters],
      [
        { opened: 1, accepted: 0 },
        { opened: 0, accepted: 1 },
      ],
    )
  })
}

t.test('a message in two pieces, cut at every byte', async (t) => {
  const node = await Node.open(t)
  const peer = await client(t, node)
  const text = request('split', 'body \x00\xff')
  for (let at = 1; at < text.length; at++) {
    peer.write(text.slice(0, at))
    for (let i = 0; i < 3; i++) await turn()
    peer.write(text.slice(at))
    await until(() => node.texts.length === at)
  }
  t.ok(node.texts.every((received) => received === text))
  t.equal(new Set(node.sources.map(({ connection }) => connection)).size, 1)
})

t.test('what comes together is one batch, and what is sent in one turn is one piece', async (t) => {
  const node = await Node.open(t)
  const peer = await client(t, node)
  const texts = Array.from({ length: 50 }, (_, i) => request(`${i}`))
  const pieces: string[] = []
  peer.socket.on('data', (chunk) => pieces.push(chunk.toString('latin1')))
  peer.write(texts.join(''))
  await until(() => node.texts.length === 50)
  t.same(node.texts, texts)
  t.same(node.batches, [50])
  for (const text of texts) node.send(text, node.flow)
  await until(() => peer.received.length === texts.join('').length)
  t.same(pieces, [texts.join('')])
})

t.test('a message takes the connection that is there', async (t) => {
  const node = await Node.open(t)
  const { peer, flow } = await knownClient(t, node)
  const { address, port } = flow
  node.send('over the number', flow)
  node.send(' over the address', { transport: 'tcp', address, port })
  await until(() => peer.received.length === 32)
  t.equal(peer.received, 'over the number over the address')
  t.equal(node.counters.opened, 0)
  t.ok(node.transport.isOpen({ transport: 'tcp', address, port }))

  const [a, b] = [await Node.open(t), await Node.open(t)]
  for (const id of ['1', '2']) a.send(request(id), b.local)
  await until(() => b.texts.length === 2)
  a.send(request('3'), b.local)
  await until(() => b.texts.length === 3)
  t.equal(a.counters.opened, 1, 'one is opened and used for all')
  b.send(request('4'), a.local)
  await until(() => a.texts.length === 1)
  t.equal(b.counters.opened, 1, 'which says nothing about where the other side listens (RFC 5923)')
})

t.test('a connection that is gone is not replaced, and its number not given again', async (t) => {
  const node = await Node.open(t)
  const { peer, flow } = await knownClient(t, node)
  t.ok(node.transport.isOpen(flow))
  t.notOk(node.transport.isOpen({ ...flow, port: flow.port ^ 1 }), 'the number alone is not enough')
  await peer.reset()
  await until(() => node.transport.size === 0)
  const again = await client(t, node, { from: flow.address, port: flow.port })
  again.write(request('again'))
  await until(() => node.texts.length === 2)
  t.match(node.flow, { address: flow.address, port: flow.port })
  t.ok((node.flow.connection as number) > (flow.connection as number))
  t.notOk(node.transport.isOpen(flow))
  node.send('for the one before', flow)
  t.same(node.failures, [{ code: 'ENOTCONN', to: flow, unsent: 'for the one before' }])
  node.send('for this one', { ...flow, connection: node.flow.connection as number })
  await until(() => again.received !== '')
  t.equal(again.received, 'for this one')
})

t.test('where nobody listens, or no message can go', async (t) => {
  const node = await Node.open(t)
  const to = await deadEnd()
  node.send('1', to)
  node.send('2', to)
  await until(() => node.failures.length === 2)
  t.same(node.failures, [
    { code: 'ECONNREFUSED', to, unsent: '1' },
    { code: 'ECONNREFUSED', to, unsent: '2' },
  ])
  t.equal(node.counters.opened, 1)
  node.failures.length = 0
  for (const wrong of [{ address: 'phone.example.com' }, { port: 0 }, { address: '::1' }, { port: 70_000 }])
    node.send('x', { ...to, ...wrong })
  await until(() => node.failures.length === 4)
  t.same(node.failures.map(({ unsent }) => unsent).join(''), 'xxxx')
})

t.test('a connection that does not come about in time', async (t) => {
  const node = await Node.open(t)
  const { local } = await Node.open(t)
  // Time passes before the event loop can turn.
  node.send('too late', local)
  node.clock.advance(4_999)
  t.equal(node.failures.length, 0)
  node.clock.advance(1_001)
  t.match(node.failures, [{ code: 'ETIMEDOUT', unsent: 'too late' }])
  t.equal(node.counters.unreachable, 1)
  node.send(request('another try'), local)
  t.equal(node.counters.opened, 2)
})

t.test('only so much waits for a connection, and only so many are opened', async (t) => {
  const [a, b] = [await Node.open(t, { bufferBytes: 600, maxOpened: 1 }), await Node.open(t)]
  const body = 'x'.repeat(300)
  for (const id of ['1', '2', '3']) a.send(request(id, body), b.local)
  t.match(a.failures, [
    { code: 'ENOBUFS', unsent: request('2', body) },
    { code: 'ENOBUFS', unsent: request('3', body) },
  ])
  a.send('x', await deadEnd())
  t.match(a.failures[2], { code: 'EMFILE', unsent: 'x' })
  await until(() => b.texts.length === 1)
  a.send(request('4'), b.local)
  await until(() => b.texts.length === 2)
  t.same(b.texts, [request('1', body), request('4')])
})

t.test('limits: in all, from one source, and who is not wanted', async (t) => {
  const node = await Node.open(
    t,
    { maxConnections: 3, maxPerSource: 2 },
    { admits: (address) => address !== '127.0.53.66' },
  )
  const open = async (from: string) => {
    const peer = await client(t, node, { from })
    peer.write(request(from))
    const before = node.texts.length
    await until(() => peer.isClosed || node.texts.length > before)
    return { peer, isIn: !peer.isClosed }
  }
  const first = await open('127.0.53.2')
  t.ok(first.isIn)
  t.ok((await open('127.0.53.2')).isIn)
  t.notOk((await open('127.0.53.2')).isIn)
  t.match(node.counters, { accepted: 2, tooManyFromSource: 1, tooMany: 0 })
  t.notOk((await open('127.0.53.66')).isIn)
  t.equal(node.counters.notAdmitted, 1)
  t.ok((await open('127.0.53.3')).isIn)
  t.notOk((await open('127.0.53.4')).isIn)
  t.match(node.counters, { accepted: 3, tooManyFromSource: 1, tooMany: 1 })
  await first.peer.reset()
  await until(() => node.transport.size === 2)
  t.ok((await open('127.0.53.2')).isIn, 'there is room again')
})

t.test('a connection counts until it is closed, however it ends', async (t) => {
  const node = await Node.open(t, { maxPerSource: 1 })
  const lingering = await client(t, node)
  lingering.write('no SIP\r\n\r\n')
  await until(() => lingering.isEnded)
  t.equal(node.transport.size, 0)
  const next = await client(t, node)
  await until(() => next.isClosed)
  node.clock.advance(3_000)
  for (let i = 0; i < 5; i++) await turn()
  const { flow } = await knownClient(t, node)
  t.ok(node.transport.isOpen(flow))
})

t.test('a connection is not kept for nothing', async (t) => {
  const node = await Node.open(t)
  const silent = await client(t, node)
  const pinging = await client(t, node)
  const { peer: known } = await knownClient(t, node)
  await until(() => node.transport.size === 3)
  pinging.write('\r\n\r\n')
  await until(() => pinging.received === '\r\n')
  node.clock.advance(19_999)
  t.equal(node.transport.size, 3)
  node.clock.advance(1_001)
  await until(() => silent.isClosed && pinging.isClosed)
  t.equal(node.counters.silent, 2, 'keep-alives are no messages')

  node.clock.advance(170_000)
  known.write('\r\n\r\n')
  await until(() => known.received === '\r\n')
  node.clock.advance(199_000)
  t.equal(node.transport.size, 1, 'a keep-alive counts')
  node.clock.advance(1_000)
  await until(() => known.isEnded)
  t.match(node.counters, { idle: 1, silent: 2, pings: 2 })
})

t.test('a message that takes too long to arrive', async (t) => {
  const node = await Node.open(t)
  const { peer } = await knownClient(t, node)
  const text = request('slow')
  for (let at = 0; at < 9; at++) {
    peer.write(text.charAt(at))
    for (let i = 0; i < 3; i++) await turn()
    node.clock.advance(1_000)
  }
  peer.write(text.slice(9) + text.slice(0, 20))
  await until(() => node.texts.length === 2)
  node.clock.advance(9_000)
  t.equal(node.transport.size, 1, 'it came in time, and another has begun since')
  peer.write(text.slice(20, 30))
  for (let i = 0; i < 3; i++) await turn()
  node.clock.advance(2_000)
  await until(() => peer.isClosed)
  t.equal(node.counters.slow, 1)
})

t.test('from one source only so much is read in a second', async (t) => {
  const node = await Node.open(t, { bytesPerSec: 1_000 })
  const [a, b, other] = [
    await client(t, node, { from: '127.0.53.2' }),
    await client(t, node, { from: '127.0.53.2' }),
    await client(t, node, { from: '127.0.53.3' }),
  ]
  const send = async (peer: StreamClient, id: string) => {
    peer.write(request(id))
    await until(() => peer.socket.writableLength === 0)
    for (let i = 0; i < 20; i++) await turn()
  }
  const ids = () => node.texts.map((text) => /Call-ID: (.*)\r/.exec(text)?.[1])
  a.write(request('a1', 'x'.repeat(1_000)))
  await until(() => node.texts.length === 1)
  await send(a, 'a2')
  await send(b, 'b1')
  await send(b, 'b2')
  await send(other, 'other1')
  await send(other, 'other2')
  t.same(
    ids(),
    ['a1', 'b1', 'other1', 'other2'],
    'a connection learns by what it reads that its source has had enough',
  )
  node.clock.advance(1_000)
  await until(() => node.texts.length === 6)
  t.same(ids().slice(4).sort(), ['a2', 'b2'], 'nothing is lost')
})

t.test('a peer that does not read', async (t) => {
  const text = request('unread', 'x'.repeat(60_000))
  await t.test('lets too much wait', async (t) => {
    const node = await Node.open(t)
    const { peer, flow } = await knownClient(t, node)
    peer.socket.pause()
    // The kernel takes some megabytes first.
    for (let i = 0; node.failures.length === 0 && i < 2_000; i++) {
      node.send(text, flow)
      await turn()
    }
    t.equal(node.counters.unread, 1)
    t.equal(node.failures.length, 5, 'one that is being written, three that wait, and one too many')
    t.ok(node.failures.every(({ unsent }) => unsent === text))
    t.same(node.failures[0]?.to, flow, 'a client is its connection')
    t.notOk(node.transport.isOpen(flow))
  })
  await t.test('lets little wait for too long', async (t) => {
    const node = await Node.open(t, { bufferBytes: 16_777_216, totalBufferBytes: 33_554_432 })
    const { peer, flow } = await knownClient(t, node)
    peer.socket.pause()
    for (let i = 0; i < 200; i++) {
      node.send(text, flow)
      await turn()
    }
    node.clock.advance(9_000)
    t.ok(node.transport.isOpen(flow))
    node.clock.advance(2_000)
    t.equal(node.counters.unread, 1)
    t.ok(node.failures.length > 0)
    t.ok(node.failures.every(({ unsent }) => unsent === text))
  })
})

t.test('a peer that closes', async (t) => {
  const node = await Node.open(t)
  await t.test('after its last request still gets the answer', async (t) => {
    node.answer = 'SIP/2.0 200 OK\r\n\r\n'
    const peer = await client(t, node)
    peer.socket.end(request('the last'), 'latin1')
    await until(() => peer.isClosed)
    t.equal(peer.received, 'SIP/2.0 200 OK\r\n\r\n')
    node.answer = undefined
  })
  await t.test('gets all that waits for it', async (t) => {
    const patient = await Node.open(t, { bufferBytes: 16_777_216, totalBufferBytes: 33_554_432 })
    const { peer, flow } = await knownClient(t, patient)
    peer.socket.pause()
    const text = request('unread', 'x'.repeat(60_000))
    for (let i = 0; i < 200; i++) {
      patient.send(text, flow)
      await turn()
    }
    peer.socket.end()
    await until(() => patient.transport.size === 0)
    peer.socket.resume()
    await until(() => peer.isClosed)
    t.equal(peer.received.length, 200 * text.length)
    t.same(patient.failures, [])
  })
  await t.test('while something waits for it', async (t) => {
    const { peer, flow } = await knownClient(t, node)
    peer.socket.pause()
    const text = request('unread', 'x'.repeat(60_000))
    for (let i = 0; i < 3_000 && node.failures.length === 0; i++) {
      node.send(text, flow)
      if (i === 1_000) peer.socket.resetAndDestroy()
      await turn()
    }
    t.ok(node.failures.length > 0)
    t.ok(node.failures.every(({ unsent }) => unsent === text))
    node.failures.length = 0
  })
  await t.test('in the turn in which it is sent to', async (t) => {
    const { peer, flow } = await knownClient(t, node)
    peer.socket.resetAndDestroy()
    node.send('may be lost', flow)
    await until(() => !node.transport.isOpen(flow))
    node.send('is lost', flow)
    t.match(node.failures.at(-1), { code: 'ENOTCONN', to: flow, unsent: 'is lost' })
  })
})

t.test('a stream that loses its frames is answered and closed', async (t) => {
  const told: string[] = []
  const node = await Node.open(t, {}, { onDefect: ({ address }) => told.push(address) })
  const cases: [text: string, answer: RegExp | ''][] = [
    [without(request('1'), 'Content-Length'), /^SIP\/2.0 400 .*received=127\.0\.0\.1.*\r\n\r\n$/s],
    [request('2').replace('Length: 0', 'Length: -1'), /^SIP\/2.0 400 /],
    [request('3').replace('Length: 0', 'Length: 65536'), /^SIP\/2.0 413 /],
    [request('4').replace('Length: 0', 'Length: 65535'), /^SIP\/2.0 513 /],
    [`OPTIONS sip:x SIP/2.0\r\nX: ${'x'.repeat(65_536)}\r\n`, ''],
    ['GET / HTTP/1.1\r\nHost: example.com\r\n\r\n', ''],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', ''],
    [without(request('5'), 'Content-Length').replace(/OPTIONS/g, 'ACK'), ''],
  ]
  for (const [text, answer] of cases) {
    const peer = await client(t, node)
    peer.write(`${request('a good one')}${text}${request('not read any more')}`)
    await until(() => peer.isEnded || peer.isClosed)
    if (answer === '') t.equal(peer.received, '')
    else t.match(peer.received, answer)
  }
  t.same(
    node.texts,
    cases.map(() => request('a good one')),
  )
  t.equal(node.counters.defects, cases.length)
  t.same(
    told,
    cases.map(() => '127.0.0.1'),
  )
})

t.test('all connections together hold no more than they may', async (t) => {
  const node = await Node.open(t, { totalBufferBytes: 200_000 })
  const { flow } = await knownClient(t, node)
  const head = request('x').replace('Length: 0', 'Length: 60000')
  const peers = await Promise.all(
    [10, 20, 30, 40, 50, 60].map(async (kilobytes) => {
      const peer = await client(t, node)
      peer.write(head + 'x'.repeat(kilobytes * 1_000 - head.length))
      return peer
    }),
  )
  await until(() => peers.every(({ socket }) => socket.writableLength === 0) && node.transport.size === 7)
  for (let i = 0; i < 20; i++) await turn()
  node.clock.advance(1_000)
  await until(() => node.transport.size === 6)
  t.equal(node.counters.crowded, 1, '210 of 200 kB: the one that holds most must go')
  await until(() => peers[5]?.isClosed === true)
  t.ok(node.transport.isOpen(flow))
})

t.test('closing', async (t) => {
  const node = await Node.open(t)
  const { peer, flow } = await knownClient(t, node)
  const { local } = node
  node.send('the last word', flow)
  node.send('nobody waits for it', await deadEnd())
  const closing = node.close()
  node.send('one too many', flow)
  await until(() => peer.isEnded)
  t.equal(peer.received, 'the last word')
  await Promise.all([closing, node.transport.close()])
  t.same(node.failures, [])
  const again = await Node.open(t, {}, { port: local.port })
  t.equal(again.local.port, local.port, 'the port is free')
})

t.test('an address that cannot be had', async (t) => {
  const { port } = (await Node.open(t)).local
  await t.rejects(Node.open(t, {}, { port }), {
    name: 'TandemError',
    code: 'PORT_TAKEN',
    message: `TCP ${ADDRESS} port ${port} is taken by another process`,
    hint: 'stop it, or set some.option',
  })
  await t.rejects(Node.open(t, {}, { address: '192.0.2.1' }), { code: 'ADDRESS_UNAVAILABLE' })
})

t.test('nothing is left open', async (t) => {
  t.same(
    nodes.map(({ clock, transport }) => [clock.pending, transport.size]),
    nodes.map(() => [0, 0]),
  )
  for (let i = 0; i < 5; i++) await turn()
  t.same(
    process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')),
    [],
  )
})

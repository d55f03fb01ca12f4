import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { configSchema } from '../../src/ops/config-schema.ts'
import { ObligingMember } from '../support/obliging-member.ts'
import { SteadyPhones } from '../support/steady-phones.ts'
import { WorkerProcess } from '../support/worker-process.ts'

/*
 * The real process of a stage-1 worker with very many, very slow and very unfriendly connections, and beside each attack
 * phones over UDP and clients over TCP that go on. The guard lets this host do what it likes: connections have to look after
 * themselves.
 */

const OUTSIDE = { address: '127.0.53.30', port: 5060 }
const INSIDE = { address: '127.0.53.31', port: 5160 }
const MEMBER = { address: '127.0.53.32', port: 5071 }
const STEADY = Array.from({ length: 10 }, (_, i) => `127.0.53.${100 + i}`)
const STEADY_PER_SEC = 100
const MAX_CONNECTIONS = 300
const MAX_PER_SOURCE = 50
const FIRST_MESSAGE_SEC = 3

const edge = `${OUTSIDE.address}:${OUTSIDE.port}`
const inside = `${INSIDE.address}:${INSIDE.port}`

const config = configSchema.parse({
  node: 'attacked',
  stage1: {
    ...{ edge, inside, workers: 1 },
    tcp: {
      maxConnections: MAX_CONNECTIONS,
      maxPerSource: MAX_PER_SOURCE,
      firstMessageSec: FIRST_MESSAGE_SEC,
      messageSec: 1,
      bufferBytes: 65_536,
      bytesPerSec: 1_048_576,
      totalBufferBytes: 4_194_304,
    },
  },
  log: { format: 'json' },
})

const node = (name: string, stage: string, addresses: Record<string, string>) => ({
  ...{ name, stage, addresses, version: null, mapVersion: 1, state: 'serving', reason: null },
  ...{ isSilent: false, startedAt: 0, heartbeatAt: 0 },
})

const map = {
  version: 1,
  domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user', callerAuth: true }],
  groups: [{ name: 'a', state: 'serving', databaseUrls: null }],
  members: [{ group: 'a', node: 'a1', role: 'master', priority: 0, ...MEMBER }],
  ranges: [{ first: 0, last: 16_383, group: 'a' }],
  pins: [],
  nodes: [node('attacked', 'stage1', { edge, inside, workers: '1' })],
  nodesRev: 1,
  silent: [],
} as unknown as Parameters<typeof WorkerProcess.start>[0]['map']

const options = (id: string, more = '', body = '') =>
  [
    `OPTIONS sip:${edge} SIP/2.0`,
    `Via: SIP/2.0/TCP client.example.com;branch=z9hG4bK${id}`,
    'From: <sip:a@example.com>;tag=1',
    'To: <sip:b@example.com>',
    `Call-ID: ${id}`,
    'CSeq: 1 OPTIONS',
    'Max-Forwards: 70',
    `${more}Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n')

/** A connection and when it was closed by the other side. */
class Attacker {
  readonly socket: Socket
  readonly closed: Promise<void>
  isClosed = false
  /** From its beginning to its end. */
  livedMs = 0

  constructor(from: string, isReading = true) {
    const startMs = performance.now()
    this.socket = connect({ ...OUTSIDE, host: OUTSIDE.address, localAddress: from })
    this.socket.on('error', () => {})
    if (isReading) this.socket.resume()
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.isClosed = true
        this.livedMs = performance.now() - startMs
        resolve()
      })
    })
  }
}

/** A silent connection lives longer, also where everything takes its time. */
const isRefused = ({ livedMs }: Attacker) => livedMs < 900 * FIRST_MESSAGE_SEC

/** `127.53.0.0`, `127.53.0.1`, … */
const sourceOf = (index: number) => `127.53.${(index >> 8) & 255}.${index & 255}`

/** Clients that keep a connection each and send over it at a steady rate. */
class SteadyClients {
  readonly #sockets: Socket[]
  readonly #sentMs = new Map<string, number>()
  #delays: number[] = []
  #count = 0

  private constructor(sockets: Socket[]) {
    this.#sockets = sockets
    for (const socket of sockets) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('data', (data) => {
        for (const [, id = ''] of data.toString('latin1').matchAll(/Call-ID: (client\d+)/g)) {
          this.#delays.push(performance.now() - (this.#sentMs.get(id) ?? Number.NaN))
          this.#sentMs.delete(id)
        }
      })
    }
  }

  static async open(addresses: readonly string[]): Promise<SteadyClients> {
    const sockets = addresses.map((from) =>
      connect({ ...OUTSIDE, host: OUTSIDE.address, localAddress: from }),
    )
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    return new SteadyClients(sockets)
  }

  async load(
    ratePerSec: number,
    busy: Promise<unknown>,
  ): Promise<{ sent: number; answered: number; p50Ms: number; p99Ms: number }> {
    let isBusy = true
    void busy.finally(() => {
      isBusy = false
    })
    const startMs = performance.now()
    let sent = 0
    for (let ms = 0; isBusy || ms < 300; ms = performance.now() - startMs) {
      for (; sent < (ms / 1000) * ratePerSec; sent++) {
        const id = `client${++this.#count}`
        this.#sentMs.set(id, performance.now())
        this.#sockets[sent % this.#sockets.length]?.write(options(id))
      }
      await sleep(5)
    }
    for (let ms = 0; ms < 3_000 && this.#sentMs.size > 0; ms += 5) await sleep(5)
    const delays = this.#delays.sort((a, b) => a - b)
    const at = (part: number) => delays[Math.floor((delays.length - 1) * part)] ?? Number.NaN
    const report = { sent, answered: delays.length, p50Ms: at(0.5), p99Ms: at(0.99) }
    this.#delays = []
    return report
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

t.test('a worker with the connections of attackers', { timeout: 90_000 }, async (t) => {
  const member = await ObligingMember.open(MEMBER)
  const worker = await WorkerProcess.start({
    config,
    map,
    keys: { current: Buffer.alloc(32, 53), previous: undefined },
  })
  const phones = await SteadyPhones.open(STEADY, OUTSIDE)
  await phones.register()
  const clients = await SteadyClients.open(STEADY)
  t.teardown(async () => {
    phones.close()
    clients.close()
    await worker.stop()
    member.close()
  })

  const rows: string[] = []
  let mostMb = 0
  /** Honest traffic goes on while the attack does. */
  async function beside(t: Test, name: string, attack: Promise<unknown>): Promise<void> {
    const startSec = worker.cpuSec
    const startMs = performance.now()
    const memory = setInterval(() => {
      mostMb = Math.max(mostMb, worker.residentMb)
    }, 50)
    const [udp, tcp] = await Promise.all([
      phones.load(STEADY_PER_SEC, 300, attack),
      clients.load(STEADY_PER_SEC, attack),
      attack,
    ])
    clearInterval(memory)
    t.equal(udp.answered, udp.sent, 'all phones are answered')
    t.equal(tcp.answered, tcp.sent, 'all clients with a connection are answered')
    t.ok(worker.isRunning)
    const cpu = (100_000 * (worker.cpuSec - startSec)) / (performance.now() - startMs)
    const ms = ({ p50Ms, p99Ms }: { p50Ms: number; p99Ms: number }) =>
      `${p50Ms.toFixed(1).padStart(6)} ${p99Ms.toFixed(1).padStart(7)}`
    rows.push(
      `${name.padEnd(28)} ${ms(udp)} ${ms(tcp)} ${cpu.toFixed(0).padStart(5)} ${worker.residentMb.toFixed(0).padStart(5)}`,
    )
  }

  const many = (count: number, perSource: number, open: (from: string, index: number) => Attacker) =>
    Array.from({ length: count }, (_, i) => open(sourceOf(Math.floor(i / perSource)), i))
  const allClosed = (attackers: readonly Attacker[]) => Promise.all(attackers.map(({ closed }) => closed))

  await beside(t, 'nothing (warm-up)', sleep(500))
  await beside(t, 'nothing', sleep(1_000))
  const beforeMb = worker.residentMb

  await t.test('one source opens more than it may: the rest is closed at once', async (t) => {
    const attackers = many(200, 200, (from) => new Attacker(from))
    await beside(t, 'one source, 200', allClosed(attackers))
    const refused = attackers.filter(isRefused)
    t.equal(refused.length, 200 - MAX_PER_SOURCE)
  })

  await t.test(
    'many sources open all there are: newcomers wait no longer than a silent connection lives',
    async (t) => {
      const attackers = many(1_000, 10, (from) => new Attacker(from))
      await beside(t, '100 sources, 1000', allClosed(attackers))
      const refused = attackers.filter(isRefused)
      // On a busy machine some places are free again before all have asked.
      const most = 1_000 - (MAX_CONNECTIONS - STEADY.length)
      t.ok(refused.length <= most && refused.length >= most / 2, `${refused.length} of at most ${most}`)
      const newcomer = new Attacker('127.0.53.200')
      newcomer.socket.write(options('newcomer'))
      const [answer] = await once(newcomer.socket, 'data')
      t.match(String(answer), /^SIP\/2\.0 200/)
      newcomer.socket.destroy()
    },
  )

  await t.test('a byte now and then: a message has a second to arrive', async (t) => {
    const attackers = many(200, 20, (from) => new Attacker(from))
    const text = options('slow')
    let at = 0
    const drip = setInterval(() => {
      for (const { socket } of attackers) if (socket.writable) socket.write(text.charAt(at))
      at = (at + 1) % 100
    }, 50)
    await beside(t, 'slow, 200', allClosed(attackers))
    clearInterval(drip)
    t.ok(attackers.every(({ livedMs }) => livedMs < 4_000))
  })

  await t.test('unfinished long messages: no more of them than there is room for', async (t) => {
    const half = options('half', '', 'x'.repeat(65_000)).slice(0, -10_000)
    const attackers = many(250, 20, (from) => new Attacker(from))
    for (const { socket } of attackers) socket.write(half)
    await beside(t, 'unfinished, 250', allClosed(attackers))
  })

  await t.test('answers are never read: cut', async (t) => {
    const text = options('unread').repeat(200)
    const attackers = many(50, 10, (from) => new Attacker(from, false))
    for (const { socket } of attackers) {
      const more = () => {
        while (socket.writable && socket.write(text)) {}
      }
      socket.on('drain', more)
      more()
    }
    await beside(t, 'never reading, 50', allClosed(attackers))
  })

  await t.test('keep-alives without end', async (t) => {
    const text = '\r\n'.repeat(30_000)
    const attackers = many(20, 10, (from) => new Attacker(from))
    for (const { socket } of attackers) {
      const more = () => {
        while (socket.writable && socket.write(text)) {}
      }
      socket.on('drain', more)
      more()
    }
    await beside(t, 'keep-alives, 20', allClosed(attackers))
  })

  await t.test('connections that come and go', async (t) => {
    const storm = async (from: string) => {
      for (let i = 0; i < 100; i++) {
        const attacker = new Attacker(from)
        await Promise.race([once(attacker.socket, 'connect'), attacker.closed])
        attacker.socket.resetAndDestroy()
        await attacker.closed
      }
    }
    await beside(
      t,
      'come and go, 5000',
      Promise.all(Array.from({ length: 50 }, (_, i) => storm(sourceOf(i)))),
    )
  })

  await beside(t, 'nothing', sleep(1_000))
  const grownMb = Math.max(mostMb, worker.residentMb) - beforeMb
  t.ok(grownMb < 100, `memory has grown by ${grownMb.toFixed(0)} MB`)
  t.comment('beside                          UDP p50    p99  TCP p50    p99   CPU%    RSS')
  for (const row of rows) t.comment(row)
})

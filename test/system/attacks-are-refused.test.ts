import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { FlowTokens } from '../../src/net/flow-token.ts'
import { configSchema } from '../../src/ops/config-schema.ts'
import { parseMessage } from '../../src/sip/message.ts'
import { answerTarget, respond } from '../../src/sip/response.ts'
import { type Flood, Flooder, type FloodReport } from '../support/flooder.ts'
import { type Delays, SteadyPhones } from '../support/steady-phones.ts'
import { WorkerProcess } from '../support/worker-process.ts'

/*
 * The real process of a stage-1 worker under attack from real sockets, and beside each attack twenty registered phones that
 * go on. TEST_ATTACK_SCALE=5 makes the floods five times as long, with 100,000 sources where there were 20,000.
 */

const SCALE = Number(process.env.TEST_ATTACK_SCALE ?? 1)

const OUTSIDE = { address: '127.0.54.1', port: 5060 }
const INSIDE = { address: '127.0.54.2', port: 5160 }
const MEMBER = { address: '127.0.54.3', port: 5071 }
const VICTIM = { address: '127.0.54.4', port: 5060 }
const SLOW = '127.0.54.5'
const STEADY = Array.from({ length: 20 }, (_, i) => `127.0.54.${100 + i}`)
const STEADY_PER_SEC = 200

const BAN_AFTER = 50
const BURST = 200
const RATE = 100
const STRANGERS_RATE = 1_000

const keys = { current: Buffer.alloc(32, 54), previous: undefined }

const config = configSchema.parse({
  node: 'attacked',
  stage1: {
    edge: '127.0.54.1:5060',
    inside: '127.0.54.2:5160',
    workers: 1,
    // No exemption: all of this happens on one host.
    guard: { exempt: [], rate: RATE, burst: BURST, strangersRate: STRANGERS_RATE, banAfter: BAN_AFTER },
    tcp: { firstMessageSec: 1, messageSec: 1, maxPerSource: 50 },
  },
  log: { format: 'json' },
})

const node = (name: string, stage: 'stage1' | 'stage2', addresses: Record<string, string>) => ({
  ...{ name, stage, addresses, version: null, mapVersion: 1, state: 'serving' as const, reason: null },
  ...{ isSilent: false, startedAt: 0, heartbeatAt: 0 },
})

const map = {
  version: 1,
  domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user' as const, callerAuth: true }],
  groups: [{ name: 'a', state: 'serving', databaseUrls: null }],
  members: [{ group: 'a', node: 'a1', role: 'master' as const, priority: 0, ...MEMBER }],
  ranges: [{ first: 0, last: 16_383, group: 'a' }],
  pins: [],
  nodes: [node('attacked', 'stage1', { edge: '127.0.54.1:5060', inside: '127.0.54.2:5160', workers: '1' })],
  nodesRev: 1,
  silent: [],
} as unknown as Parameters<typeof WorkerProcess.start>[0]['map']

/** The member behind it: believes the phones and challenges everybody else. */
class Stub {
  readonly #socket: Socket
  /** Requests of attackers that have come through. */
  attackers = 0
  responses = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (data, from) => this.#receive(data.toString('latin1'), from))
  }

  static async open(): Promise<Stub> {
    const socket = createSocket('udp4')
    socket.bind(MEMBER)
    await once(socket, 'listening')
    socket.setRecvBufferSize(4 * 1024 * 1024)
    return new Stub(socket)
  }

  close(): void {
    this.#socket.close()
  }

  #receive(text: string, from: RemoteInfo): void {
    const request = parseMessage(text)
    if (!request?.isRequest) {
      this.responses++
      return
    }
    const isAttackers = request.callId.startsWith('attack')
    if (isAttackers) this.attackers++
    const { address, port } = answerTarget(request, {
      transport: 'udp',
      address: from.address,
      port: from.port,
    })
    this.#socket.send(respond(request, isAttackers ? 401 : 200) ?? '', port, address)
  }
}

/** Whoever is to be hit by what is sent to us: hears nothing. */
async function victim(): Promise<{ heard: number; close(): void }> {
  const socket = createSocket('udp4')
  socket.bind(VICTIM)
  await once(socket, 'listening')
  const state = { heard: 0, close: () => void socket.close() }
  socket.on('message', () => state.heard++)
  return state
}

const VIA = 'SIP/2.0/UDP %source%;branch=z9hG4bK%n%;rport'

function attack(method: string, uri: string, more: readonly string[] = [], via = VIA): string {
  return [
    `${method} ${uri} SIP/2.0`,
    `Via: ${via}`,
    'Max-Forwards: 70',
    ...more,
    'From: <sip:mallory@example.com>;tag=%n%',
    'To: <sip:mallory@example.com>',
    'Call-ID: attack-%n%',
    `CSeq: 1 ${method}`,
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n')
}

const BOB = 'sip:bob@example.com'
const tokens = new FlowTokens(() => keys)
const stolen = tokens.mint({ transport: 'udp', address: '127.0.54.100', port: 40_000 })
const forged = (stolen.startsWith('A') ? 'B' : 'A') + stolen.slice(1)
const route = (value: string) => [`Route: <sip:${value};lr>`]

const TOKENS = [
  attack('INVITE', BOB, route(`${forged}@127.0.54.1:5060`)),
  attack('INVITE', BOB, route('AAAAAAAAAAAAAAAAAAAAAAAA@127.0.54.1:5060')),
  // A real one, of a flow that is not the sender's, to go round the group of the called.
  attack('INVITE', BOB, route(`${stolen}@127.0.54.1:5060`)),
  attack('INVITE', BOB, ['Record-Route: <sip:x@127.0.54.1:5060;lr>']),
]

const RELAYS = [
  attack('INVITE', 'sip:+4930123@203.0.113.9'),
  attack('REGISTER', 'sip:elsewhere.example').replaceAll('mallory@example.com', 'mallory@elsewhere.example'),
  attack('INVITE', BOB, route('203.0.113.9')),
  attack('INVITE', BOB, route('127.0.54.3:5071')),
  attack('INVITE', 'sip:bob@example.com;maddr=203.0.113.9'),
  attack('BYE', 'sip:bob@127.0.54.4:5060').replace('To: <sip:mallory@example.com>', '$&;tag=1'),
]

const MALFORMED = [
  attack('INVITE', BOB).replace(/CSeq: .*\r\n/, ''),
  attack('INVITE', BOB).replace(/From: .*/, 'From: <<<>'),
  attack('INVITE', BOB).replace('Content-Length: 0', 'Content-Length: 99999'),
]

const RESPONSES = [
  'SIP/2.0 200 OK',
  'Via: SIP/2.0/UDP 127.0.54.1:5060;branch=z9hG4bKoAAAAAAAAAAAAAAAAAAAAAA',
  'Via: SIP/2.0/UDP 127.0.54.4:5060;branch=z9hG4bK%n%',
  'From: <sip:a@example.com>;tag=1',
  'To: <sip:b@example.com>;tag=2',
  'Call-ID: attack-%n%',
  'CSeq: 1 INVITE',
  'Content-Length: 0',
  '\r\n',
].join('\r\n')

const GIANTS = [
  attack('INVITE', BOB, [`Subject: ${'x'.repeat(60_000)}`]),
  attack(
    'INVITE',
    BOB,
    Array.from({ length: 2_000 }, (_, i) => `X-Header-${i}: y`),
  ),
  attack(
    'INVITE',
    BOB,
    Array.from({ length: 500 }, (_, i) => `Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK${i}`),
  ),
  attack('INVITE', `sip:${'x'.repeat(50_000)}@example.com`),
  attack(
    'INVITE',
    BOB,
    Array.from({ length: 200 }, () => `Route: <sip:${'x'.repeat(200)}@203.0.113.9;lr>`),
  ),
]

t.test('a worker under attack', { timeout: 60_000 * Math.max(1, SCALE) }, async (t) => {
  const [stub, target, flooder] = [await Stub.open(), await victim(), new Flooder()]
  const worker = await WorkerProcess.start({ config, map, keys })
  const phones = await SteadyPhones.open(STEADY, OUTSIDE)
  t.teardown(async () => {
    phones.close()
    await worker.stop()
    await flooder.close()
    stub.close()
    target.close()
  })

  const rows: string[] = []
  // What this process could not do at once because it was not run counts as delay too.
  const stalls = monitorEventLoopDelay({ resolution: 5 })
  stalls.enable()
  const note = (name: string, { sent, p50Ms, p99Ms }: Delays, report?: FloodReport) => {
    const came = report
      ? `${String(report.sent).padStart(7)} from ${String(report.sources).padStart(6)}, answers ${JSON.stringify(report.answers)}`
      : ''
    const times = [p50Ms, p99Ms, stalls.max / 1e6].map((ms) => ms.toFixed(1).padStart(7))
    stalls.reset()
    const memory = `${worker.residentMb.toFixed(0).padStart(5)} MB`
    rows.push(`${name.padEnd(24)}${String(sent).padStart(5)} ${times.join(' ')} ms ${memory} ${came}`)
  }

  /** Sources that nobody has used yet. */
  let nextSource = 54 * 65_536
  async function under(name: string, flood: Partial<Flood> & Pick<Flood, 'texts'>): Promise<FloodReport> {
    const whole: Flood = {
      ...{
        to: OUTSIDE,
        firstSource: nextSource,
        sources: 3,
        perSource: 120,
        ratePerSec: 1_200,
        lingerMs: 100,
      },
      ...flood,
    }
    nextSource += whole.sources
    const busy = flooder.run(whole)
    const delays = await phones.load(STEADY_PER_SEC, 300, busy)
    t.equal(delays.answered, delays.sent, `${name}: all phones are answered`)
    const report = await busy
    note(name, delays, report)
    t.ok(worker.isRunning)
    return report
  }

  const bans = () => worker.output.split('\n').filter((line) => line.includes('guard: banned')).length
  /** Each source is banned after so many offences, of which few are forgotten meanwhile. */
  const isBanned = (answers: number, sources: number) =>
    answers >= sources * BAN_AFTER && answers <= sources * (BAN_AFTER + 5)

  const registered = await phones.register()
  t.equal(registered.answered, STEADY.length)
  note('nothing (warm-up)', await phones.load(STEADY_PER_SEC, 500))
  note('nothing', await phones.load(STEADY_PER_SEC, 700 * SCALE))
  const beforeMb = worker.residentMb

  await t.test('forged and stolen flow tokens: 403, then a ban', async (t) => {
    const { answers, sources } = await under('flow tokens', { texts: TOKENS })
    t.same(Object.keys(answers), ['403'])
    t.ok(isBanned(answers[403] ?? 0, sources), `${answers[403]}`)
    t.equal(bans(), sources)
  })

  await t.test('relaying: 403, then a ban', async (t) => {
    const before = bans()
    const { answers, sources } = await under('relaying', { texts: RELAYS })
    t.same(Object.keys(answers), ['403'])
    t.ok(isBanned(answers[403] ?? 0, sources), `${answers[403]}`)
    t.equal(bans() - before, sources)
  })

  await t.test('a spoofed Via: answered where the request came from, and nowhere else', async (t) => {
    const vias = ['127.0.54.4:5060', '127.0.54.3:5071', '127.0.54.2:5160']
    const texts = vias.map((sentBy) =>
      attack('OPTIONS', 'sip:127.0.54.1:5060', [], `SIP/2.0/UDP ${sentBy};branch=z9hG4bK%n%;rport`),
    )
    const { answers } = await under('spoofed Via, rport', { texts, perSource: 30 })
    t.same(answers, { 200: 90 })
    const silent = texts.map((text) => text.replace(';rport', ';received=127.0.54.4'))
    t.same((await under('spoofed Via, received', { texts: silent, perSource: 30 })).answers, {})
  })

  await t.test('scanners: not answered, and banned at once', async (t) => {
    const before = bans()
    const texts = ['friendly-scanner', 'VaxSIPUserAgent/3.1', 'SIPVicious'].map((name) =>
      attack('OPTIONS', 'sip:100@example.com', [`User-Agent: ${name}`]),
    )
    t.same((await under('scanners', { texts, sources: 20, perSource: 20 })).answers, {})
    t.equal(bans() - before, 20)
  })

  await t.test('malformed requests: one answer a second, then a ban', async (t) => {
    const before = bans()
    const { answers, sources } = await under('malformed', { texts: MALFORMED })
    t.same(Object.keys(answers), ['400'])
    t.ok((answers[400] ?? 0) <= 2 * sources, `${answers[400]}`)
    t.equal(bans() - before, sources)
  })

  await t.test('noise that is no SIP: no answer, then a ban', async (t) => {
    const before = bans()
    t.same((await under('noise', { texts: ['GET / HTTP/1.1\r\n\r\n', 'x'.repeat(1400)] })).answers, {})
    t.equal(bans() - before, 3)
  })

  await t.test('responses to nothing: dropped, then a ban', async (t) => {
    const before = bans()
    t.same((await under('responses', { texts: [RESPONSES], sources: 5 * SCALE })).answers, {})
    t.equal(bans() - before, 5 * SCALE)
  })

  await t.test('giant messages: refused, or passed on if they are none', async (t) => {
    const { answers } = await under('giants', { texts: GIANTS, perSource: 40 * SCALE, ratePerSec: 300 })
    t.ok(
      Object.keys(answers).every((status) => ['400', '403', '414', '513'].includes(status)),
      JSON.stringify(answers),
    )
  })

  t.equal(stub.attackers, 0, 'so far nothing of this has reached stage 2')

  await t.test('one source that sends too much: its rate, and no answer to the rest', async (t) => {
    const startMs = performance.now()
    const texts = [attack('OPTIONS', 'sip:127.0.54.1:5060')]
    const { answers, sent } = await under('one source', {
      texts,
      sources: 1,
      perSource: 5_000 * SCALE,
      ratePerSec: 1e6,
    })
    const most = BURST + (RATE * (performance.now() - startMs)) / 1000
    t.ok((answers[200] ?? 0) <= most, `${answers[200]} of ${sent}`)
  })

  await t.test('requests of very many sources: the common rate of strangers', async (t) => {
    const startMs = performance.now()
    const before = stub.attackers
    const texts = [attack('REGISTER', 'sip:example.com', ['Contact: <sip:x@%source%>'])]
    const { sources } = await under('very many sources', {
      texts,
      sources: 20_000 * SCALE,
      perSource: 1,
      ratePerSec: 1e6,
    })
    const through = stub.attackers - before
    const most = STRANGERS_RATE * (0.25 + (performance.now() - startMs) / 1000)
    t.ok(through > 0 && through <= most, `${through} of ${sources}`)
  })

  await t.test('slow and idle connections: cut', async (t) => {
    const cut = slowConnections(60)
    const delays = await phones.load(STEADY_PER_SEC, 300, cut)
    t.equal(delays.answered, delays.sent)
    note('slow TCP', delays)
    const { refused, slow } = await cut
    t.ok(refused >= 10, `${refused} beyond maxPerSource`)
    t.equal(refused + slow, 60, 'all of them')
  })

  await t.test('a header without end over TCP: refused and closed', async (t) => {
    const { received, sentBytes } = await endlessHeader()
    t.match(received, /^(?:SIP\/2\.0 (?:400|413|513) .*)?/)
    t.ok(sentBytes < 4_000_000, `${sentBytes} bytes were taken`)
  })

  note('nothing', await phones.load(STEADY_PER_SEC, 700 * SCALE))
  const drops = [OUTSIDE, INSIDE, MEMBER].map(({ address }) => WorkerProcess.droppedAt(address))
  t.comment(
    `the kernel has dropped ${drops[0]} at the outside face, ${drops[1]} at the inside, ${drops[2]} at the member`,
  )
  t.match(worker.output, /"overRate":[1-9]\d*.*"msg":"guard: dropped \d+ messages"/)
  t.match(worker.output, /"strangers":[1-9]\d*.*"msg":"guard: dropped \d+ messages"/)
  t.equal(target.heard, 0, 'nobody was hit by what was sent to us')
  t.equal(stub.responses, 0, 'no response of an attacker has reached stage 2')
  const grownMb = worker.residentMb - beforeMb
  t.ok(grownMb < 100, `memory has grown by ${grownMb.toFixed(0)} MB`)
  t.comment('beside                   sent     p50     p99  own stall')
  for (const row of rows) t.comment(row)
})

/** Opens connections that send nothing, or a byte now and then; resolves when all are closed by the other side. */
async function slowConnections(count: number): Promise<{ refused: number; slow: number }> {
  let [refused, slow] = [0, 0]
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const startMs = performance.now()
      const socket = connect({ host: OUTSIDE.address, port: OUTSIDE.port, localAddress: SLOW })
      socket.on('error', () => {})
      const drip = setInterval(() => i % 2 === 0 && socket.writable && socket.write('I'), 100)
      socket.resume()
      await new Promise((resolve) => socket.on('close', resolve))
      clearInterval(drip)
      if (performance.now() - startMs < 900) refused++
      else slow++
    }),
  )
  return { refused, slow }
}

async function endlessHeader(): Promise<{ received: string; sentBytes: number }> {
  const socket = connect({ host: OUTSIDE.address, port: OUTSIDE.port, localAddress: '127.0.54.6' })
  let received = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1')
  })
  socket.write(attack('INVITE', BOB).replace(/Content-Length[\s\S]*/, 'Subject: '))
  const more = setInterval(() => socket.writable && socket.write('x'.repeat(65_536)), 5)
  await new Promise((resolve) => socket.on('close', resolve))
  clearInterval(more)
  return { received, sentBytes: socket.bytesWritten }
}

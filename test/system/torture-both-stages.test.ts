import { readdirSync, readFileSync } from 'node:fs'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { type Cluster, edgeWorker } from '../../src/partition/cluster.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import type { Message } from '../../src/sip/message.ts'
import { NonceMint } from '../../src/sip/nonce.ts'
import { respond } from '../../src/sip/response.ts'
import { Edge } from '../../stage1/edge.ts'
import { Authenticator } from '../../stage2/authenticator.ts'
import { Directory } from '../../stage2/directory.ts'
import {
  binding,
  edgeInside,
  edge as edgeNode,
  edgeOutside,
  here,
  testCluster,
  udp,
} from '../support/cluster.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { batchOf, FakeTransport, type Sent } from '../support/fake-transport.ts'
import { MemberBench, type MemberBenchOptions, read } from '../support/member-bench.ts'

/**
 * test/fixtures/torture/INDEX.md for the two stages: stage 1 as a proxy, stage 2 as registrar and as a proxy. Every
 * message goes to an edge and to a member of its own. (What the parser makes of them: test/sip/torture.test.ts.)
 */

/** What becomes of a request: forwarded, registered, answered with this status; of a response: passed on or dropped. */
type Fate = 'forward' | 'register' | 'pass' | 'drop' | number

interface Details {
  /** Whom it is for at stage 2, as an AOR: there is a binding for it. */
  readonly aor?: string
  /** Where it comes from. */
  readonly from?: Endpoint
  /** The port that the answer goes to, if it is not 5060: that of the sent-by, or the source's for `rport`. */
  readonly port?: number
  /** Of a registration: the contacts in the answer. */
  readonly contacts?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** What is changed in the message before it is sent, where as it stands it says nothing about this stage; and why. */
  readonly edit?: (text: string) => string
  readonly why?: string
}

const TO_USER = 'sip:user@example.com'
const user = { aor: 'user@example.com' }
const GATEWAY = 'sip:+19725552222@gw1.example.net'
const V6 = 'user@2001:db8::10'
/** The RFC 5118 set comes from here, and its answers go back there. */
const from6 = { from: udp('2001:db8::9:1') }

const toUser = (uri: string) => (text: string) => text.replace(uri, TO_USER)
const asRegister = (text: string) =>
  text.replace(/^OPTIONS \S+/, 'REGISTER sip:example.com').replace(/(CSeq: \d+) OPTIONS/, '$1 REGISTER')

type Row = readonly [file: string, stage1: Fate, stage2: Fate, details?: Details]

/** In the order of the INDEX. */
const TABLE: readonly Row[] = [
  // RFC 4475
  [
    'rfc4475/wsinv',
    403,
    'forward',
    { aor: 'vivekg@chair-dnrc.example.com', from: udp('192.0.2.2'), why: 'stage 1: its Route leads abroad' },
  ],
  [
    'rfc4475/wsinv',
    'forward',
    'forward',
    {
      aor: 'vivekg@chair-dnrc.example.com',
      from: udp('192.0.2.2'),
      edit: (text) => text.replace(/^Route:\r\n .*\r\n/m, ''),
      why: 'without its Route',
    },
  ],
  [
    'rfc4475/intmeth',
    'forward',
    'forward',
    { aor: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/@example.com" },
  ],
  ['rfc4475/esc01', 'forward', 'forward', { aor: 'sips%3Auser%40example.com@example.net' }],
  [
    'rfc4475/escnull',
    'forward',
    'register',
    {
      aor: 'null-%00-null@example.com',
      contacts: ['<sip:%00@host5.example.com>;expires=3600', '<sip:%00%00@host5.example.com>;expires=3600'],
    },
  ],
  ['rfc4475/esc02', 404, 404, { why: 'it is for a domain, where only OPTIONS and REGISTER have a meaning' }],
  [
    'rfc4475/esc02',
    'forward',
    'forward',
    {
      ...user,
      edit: toUser('sip:registrar.example.com'),
      why: 'for a user: an unknown method like any other',
    },
  ],
  ['rfc4475/lwsdisp', 'forward', 'forward', user],
  ['rfc4475/longreq', 'forward', 'forward', user],
  ['rfc4475/semiuri', 'forward', 'forward', user],
  ['rfc4475/transports', 'forward', 'forward', user],
  [
    'rfc4475/mpart01',
    403,
    'forward',
    { aor: 'kumiko@example.org', port: 33_000, why: 'stage 1: its Route leads abroad' },
  ],
  [
    'rfc4475/mpart01',
    'forward',
    'forward',
    {
      aor: 'kumiko@example.org',
      from: udp('127.0.0.1', 40_000),
      port: 40_000,
      edit: (text) => text.replace(/^Route:.*\r\n/m, ''),
      why: 'without its Route; it asks for rport',
    },
  ],
  ['rfc4475/invut', 'forward', 'forward', user],
  [
    'rfc4475/dblreq',
    'forward',
    'register',
    { aor: 'j.user@example.com', contacts: ['<sip:j.user@host.example.com>;expires=3600'] },
  ],
  ['rfc4475/unreason', 'pass', 'pass'],
  ['rfc4475/noreason', 'pass', 'drop', { why: 'stage 2: a stateful proxy passes no 100 on (§16.7 step 5)' }],
  ['rfc4475/badinv01', 400, 400],
  ['rfc4475/clerr', 400, 400],
  ['rfc4475/ncl', 400, 400],
  ['rfc4475/mcl01', 400, 400],
  ['rfc4475/scalar02', 400, 400],
  [
    'rfc4475/scalar02',
    'forward',
    'register',
    {
      aor: 'user@example.com',
      contacts: ['<sip:user@host129.example.com>;expires=3600'],
      edit: (text) => text.replace('36893488147419103232', '1'),
      why: 'with a good CSeq: Max-Forwards and expiries out of range count as absent',
    },
  ],
  ['rfc4475/scalarlg', 'drop', 'drop'],
  ['rfc4475/bigcode', 'drop', 'drop'],
  ['rfc4475/quotbal', 400, 400],
  ['rfc4475/ltgtruri', 400, 400],
  ['rfc4475/lwsruri', 400, 400],
  ['rfc4475/regbadct', 400, 400],
  ['rfc4475/badaspec', 400, 400],
  ['rfc4475/baddn', 400, 400],
  ['rfc4475/baddn.terminated', 400, 400],
  ['rfc4475/lwsstart', 'forward', 'forward', user],
  ['rfc4475/trws', 'forward', 'forward', { aor: 'remote-target@example.com' }],
  ['rfc4475/escruri', 400, 400],
  ['rfc4475/baddate', 'forward', 'forward', user],
  ['rfc4475/badvers', 505, 505],
  ['rfc4475/mismatch01', 400, 400],
  ['rfc4475/mismatch02', 501, 501],
  ['rfc4475/badbranch', 400, 400],
  ['rfc4475/insuf', 400, 400],
  ['rfc4475/unkscm', 416, 416],
  ['rfc4475/novelsc', 416, 416],
  ['rfc4475/unksm2', 403, 400, { why: 'stage 1 knows nobody of that scheme, stage 2 is the registrar' }],
  [
    'rfc4475/unksm2',
    'forward',
    'forward',
    {
      ...user,
      edit: (text) =>
        text.replace('REGISTER sip:example.com', `MESSAGE ${TO_USER}`).replace('REGISTER', 'MESSAGE'),
      why: 'as anything but a REGISTER: a proxy does not look at To',
    },
  ],
  [
    'rfc4475/bext01',
    420,
    420,
    { ...user, headers: { unsupported: 'noProxiesSupportThis, norDoAnyProxiesSupportThis' } },
  ],
  [
    'rfc4475/bext01',
    'forward',
    420,
    {
      edit: (text) => asRegister(text).replace(/^Proxy-Require.*\r\n/m, ''),
      headers: { unsupported: 'nothingSupportsThis, nothingSupportsThisEither' },
      why: 'as a REGISTER, for the registrar',
    },
  ],
  ['rfc4475/regaut01', 'forward', 401, { headers: { 'www-authenticate': 'Digest realm="example.com"' } }],
  ['rfc4475/multi01', 400, 400],
  ['rfc4475/bcast', 'drop', 'drop'],
  ['rfc4475/zeromf', 483, 483, user],
  [
    'rfc4475/zeromf',
    200,
    404,
    {
      edit: (text) => text.replace(TO_USER, 'sip:example.com'),
      why: 'for the domain: stage 1 answers, and stage 2 never gets it',
    },
  ],
  [
    'rfc4475/zeromf',
    200,
    200,
    { edit: (text) => text.replace(TO_USER, 'sip:SELF'), why: 'for the node itself' },
  ],
  [
    'rfc4475/cparam01',
    'forward',
    'register',
    { aor: 'watson@example.com', contacts: [`<${GATEWAY}>;unknownparam;expires=3600`] },
  ],
  [
    'rfc4475/cparam02',
    'forward',
    'register',
    { aor: 'watson@example.com', contacts: [`<${GATEWAY};unknownparam>;expires=3600`] },
  ],
  [
    'rfc4475/regescrt',
    'forward',
    'register',
    { ...user, contacts: ['<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600'] },
  ],
  ['rfc4475/sdp01', 'forward', 'forward', { ...user, from: udp('192.0.2.15') }],
  ['rfc4475/inv2543', 'forward', 'forward', { aor: 'UserB@example.com' }],

  // RFC 5118
  [
    'rfc5118/ipv6-good',
    'forward',
    'register',
    { ...user, ...from6, contacts: ['<sip:caller@[2001:db8::1]>;expires=3600'] },
  ],
  ['rfc5118/ipv6-bad', 400, 400, from6],
  [
    'rfc5118/port-ambiguous',
    'forward',
    'register',
    { ...user, ...from6, contacts: ['<sip:caller@[2001:db8::1]>;expires=3600'] },
  ],
  [
    'rfc5118/port-unambiguous',
    'forward',
    'register',
    { ...user, ...from6, contacts: ['<sip:caller@[2001:db8::1]>;expires=3600'] },
  ],
  [
    'rfc5118/via-received-param-with-delim',
    404,
    404,
    { from: udp('2001:db8::9:255'), why: 'a BYE for a domain' },
  ],
  [
    'rfc5118/via-received-param-with-delim',
    'forward',
    'forward',
    { aor: V6, from: udp('2001:db8::9:255'), edit: (text) => text.replace('BYE sip:', 'BYE sip:user@') },
  ],
  [
    'rfc5118/via-received-param-no-delim',
    200,
    404,
    { from: udp('2001:db8::9:255'), why: 'for the domain: stage 1 answers, and stage 2 never gets it' },
  ],
  [
    'rfc5118/via-received-param-no-delim',
    'forward',
    'forward',
    {
      aor: V6,
      from: udp('2001:db8::9:255'),
      edit: (text) => text.replace('OPTIONS sip:', 'OPTIONS sip:user@'),
    },
  ],
  ['rfc5118/ipv6-in-sdp', 'forward', 'forward', { aor: V6, from: udp('2001:db8::20') }],
  ['rfc5118/mult-ip-in-sdp', 'forward', 'forward', { aor: V6, ...from6 }],
  ['rfc5118/mult-ip-in-header', 'forward', 'forward', { aor: 'user@host.example.net', ...from6, port: 6050 }],
  [
    'rfc5118/ipv4-mapped-ipv6',
    'forward',
    'forward',
    { ...user, from: udp('::ffff:192.0.2.10', 19_823), port: 19_823 },
  ],
  ['rfc5118/ipv6-correct-abnf-2-colons', 'forward', 'forward', { aor: 'user@2001:db8::c000:201' }],
  ['rfc5118/ipv6-bug-abnf-3-colons', 'forward', 'forward', { aor: 'user@2001:db8::c000:201' }],
]

/** Where a message comes from unless the table says so: not what its Via says. */
const STRANGER = udp('198.51.100.7', 33_000)
const CONTACT = 'sip:phone@10.9.8.7:5099'
const PATH = '<sip:token@192.0.2.60:5160;lr>'

const DOMAINS = ['example.com', 'example.net', 'example.org', 'company.com', 'chair-dnrc.example.com']
const HOSTS = ['registrar.example.com', 'host.example.net', '2001:db8::10', '2001:db8::c000:201']

const folder = new URL('../fixtures/torture/', import.meta.url)

/** The message as it is sent, and as far as it is one: octets after the body are none of it. */
function load(file: string, details: Details, self: Endpoint): { wire: string; message: Message } {
  const text = readFileSync(new URL(`${file}.dat`, folder), 'latin1')
  const wire = (details.edit?.(text) ?? text).replace('sip:SELF', `sip:${self.address}:${self.port}`)
  return { wire, message: read(wire) }
}

/** The line or lines of the first header of that name. */
const headerOf = (text: string, names: string): string =>
  new RegExp(`^(?:${names})[ \\t]*:.*\\r\\n(?:[ \\t].*\\r\\n)*`, 'im').exec(text)?.[0] ?? ''

function withoutLine(text: string, line: RegExp): string {
  const [found] = line.exec(text) ?? []
  if (found === undefined) throw new Error(`no ${line} in ${text}`)
  return text.replace(found, () => '')
}

const afterStartLine = (text: string) => text.slice(text.indexOf('\r\n') + 2)

/** Takes back what every hop may and must change: its Via, Max-Forwards, and `received` and `rport` of the Via below. */
function undo(t: Test, out: string, message: Message, source: Endpoint, ownVia: RegExp): string {
  const wire = message.text
  let text = withoutLine(afterStartLine(out), ownVia)
  const hops = headerOf(wire, 'max-forwards')
  const sent = headerOf(text, 'max-forwards')
  t.equal(read(out).maxForwards, (message.maxForwards ?? 71) - 1, 'one hop less')
  text = text.replace(sent, () => hops)
  const via = headerOf(text, 'via|v')
  const received = headerOf(wire, 'via|v')
  if (via !== received) {
    t.equal(read(out).values(H.via)[1], expectedVia(message, source), 'the Via says where it came from')
    text = text.replace(via, () => received)
  }
  return text
}

/** RFC 3261 §18.2.1 and RFC 3581 §4, put down once more. */
function expectedVia(message: Message, source: Endpoint): string {
  const via = (message.value(H.via) ?? '').replace(/;received=[^;]*/, '')
  const hasRport = /;rport(?=;|$)/.test(via)
  const stamped = via.replace(/;rport(?=;|$)/, `;rport=${source.port}`)
  const isAtSentBy = message.topVia?.host === source.address
  return isAtSentBy && !hasRport ? stamped : `${stamped};received=${source.address}`
}

function checkRefusal(
  t: Test,
  sent: readonly Sent[],
  status: number,
  source: Endpoint,
  details: Details,
): void {
  const answer = sent.at(-1)
  const response = read(answer?.text ?? 'nothing SIP/2.0')
  t.equal(response.status, status)
  t.equal(answer?.to.address, source.address, 'back where it came from')
  for (const [name, value] of Object.entries(details.headers ?? {})) {
    t.ok(response.valueOf(name)?.startsWith(value), `${name}: ${response.valueOf(name)}`)
  }
}

for (const [file, , fate, details = {}] of TABLE) {
  t.test(`stage 2, ${nameOf(file, details)}: ${fate}`, async (t) => {
    const source = details.from ?? STRANGER
    const cluster = testCluster({ domains: [...DOMAINS, ...HOSTS], insiders: [source.address] })
    const bench = new MemberBench({ cluster, ...(fate === 401 && { challenge: authentication(cluster) }) })
    bench.takeover.whenFresh(() => {})
    const { wire, message } = load(file, details, here)
    if (!message.isRequest) await memberHears(t, bench, message, fate)
    else if (fate === 'forward') await memberForwards(t, bench, wire, message, source, details)
    else if (fate === 'register') await memberRegisters(t, bench, wire, source, details)
    else if (typeof fate === 'number') await memberRefuses(t, bench, wire, source, fate, details)
    await bench.assertEmpty(t)
  })
}

/** The real one, which knows nobody. */
function authentication(cluster: Cluster): MemberBenchOptions['challenge'] {
  const directory = new Directory(async () => undefined)
  const authenticator = new Authenticator({
    directory,
    realmOf: (domain) => domain,
    nonces: new NonceMint(() => cluster.keys, new FakeClock()),
    algorithms: ['MD5', 'SHA-256'],
    log: pino({ level: 'silent' }),
  })
  return (request, aor) => authenticator.challenge(request, aor).finally(() => directory.close())
}

async function memberForwards(
  t: Test,
  bench: MemberBench,
  wire: string,
  message: Message,
  source: Endpoint,
  details: Details,
): Promise<void> {
  bench.location.adopt(binding(CONTACT, bench.clock.now(), { aor: details.aor ?? '', path: [PATH] }))
  await bench.receive(wire, source)
  const sent = bench.take()
  const out = sent.find(({ text }) => !text.startsWith('SIP/2.0'))?.text ?? ''
  t.ok(out.startsWith(`${message.requestMethod} ${CONTACT} SIP/2.0\r\n`), 'to the contact of its user')
  const routed = withoutLine(out, new RegExp(`^Route: ${PATH.replace('.', '\\.')}\\r\\n`, 'm'))
  const own = /^Via: SIP\/2\.0\/UDP 192\.0\.2\.71:5071;branch=z9hG4bK[0-9a-f]{24}\r\n/m
  t.equal(undo(t, routed, message, source, own), afterStartLine(message.text), 'nothing else differs')

  await bench.receive(wire, source)
  t.notOk(
    bench.take().some(({ text }) => !text.startsWith('SIP/2.0')),
    'a copy is not forwarded again',
  )
  await bench.answer(out, 200)
  const [answer] = bench.take()
  t.strictSame(answer?.to, udp(source.address, details.port ?? 5060), 'the answer goes where the Via says')
  t.equal(read(answer?.text ?? '').values(H.via).length, message.values(H.via).length)
}

async function memberRegisters(
  t: Test,
  bench: MemberBench,
  wire: string,
  source: Endpoint,
  details: Details,
): Promise<void> {
  await bench.receive(wire, source)
  const [response] = bench.takeMessages()
  t.equal(response?.status, 200)
  t.strictSame(response?.values(H.contact), details.contacts)
  t.equal(bench.location.rows(details.aor ?? '').length, details.contacts?.length)
  t.equal(bench.location.size, 1)
}

async function memberRefuses(
  t: Test,
  bench: MemberBench,
  wire: string,
  source: Endpoint,
  status: number,
  details: Details,
): Promise<void> {
  if (details.aor)
    bench.location.adopt(binding(CONTACT, bench.clock.now(), { aor: details.aor, path: [PATH] }))
  await bench.receive(wire, source)
  checkRefusal(t, bench.take(), status, source, details)
  if ([400, 416, 501, 505].includes(status)) t.equal(bench.layer.open, 0, 'statelessly')
}

/** As the answer to a request of ours: a call is under way, and our Via is above, or in place of, the message's first. */
async function memberHears(t: Test, bench: MemberBench, message: Message, fate: Fate): Promise<void> {
  bench.location.adopt(binding(CONTACT, bench.clock.now(), { path: [PATH] }))
  await bench.receive(
    'INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKx\r\n' +
      'From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 35 INVITE\r\n\r\n',
  )
  const invite = bench.take().find(({ text }) => text.startsWith('INVITE'))?.text ?? ''
  const own = `Via: ${read(invite).value(H.via)}\r\n`
  await bench.receive(underOwn(message, own))
  const sent = bench.take()
  if (fate === 'pass') {
    t.strictSame(
      sent.map(({ text }) => text),
      [message.text],
      'as it came',
    )
  } else t.strictSame(sent, [])
  t.equal(bench.member.counters.malformed, fate === 'drop' && message.status !== 100 ? 1 : 0)
}

/** Below our Via, except where its first Via stands for ours. */
function underOwn(message: Message, own: string): string {
  if (message.count(H.via) > 1) return message.text.replace(headerOf(message.text, 'via'), () => own)
  const at = message.headersStart
  return message.text.slice(0, at) + own + message.text.slice(at)
}

for (const [file, fate, , details = {}] of TABLE) {
  t.test(`stage 1, ${nameOf(file, details)}: ${fate}`, async (t) => {
    const desk = new EdgeDesk()
    const source = details.from ?? STRANGER
    const { wire, message } = load(file, details, edgeOutside)
    if (!message.isRequest) edgeHears(t, desk, message, fate)
    else if (fate === 'forward') edgeForwards(t, desk, wire, message, source, details)
    else {
      desk.edge.receive(batchOf(source, wire), 'outside')
      t.strictSame(desk.group, [])
      if (typeof fate === 'number') checkRefusal(t, desk.outside.take(), fate, source, details)
      t.equal(desk.edge.counters.refused, fate === 200 ? 0 : 1)
    }
  })
}

class FakeOutside extends FakeTransport {
  isOpen(): boolean {
    return false
  }
}

/** An edge on a table; whatever goes to a group goes to the one member there is. */
class EdgeDesk {
  readonly cluster: Cluster = testCluster({ domains: [...DOMAINS, ...HOSTS] })
  readonly outside = new FakeOutside(edgeOutside)
  readonly inside = new FakeTransport(edgeInside)
  readonly group: string[] = []
  readonly edge: Edge

  constructor() {
    const { cluster, outside, inside, group } = this
    const bench = new MemberBench({ cluster })
    bench.directory.close()
    this.edge = new Edge({
      self: edgeWorker(edgeNode, 0),
      outside,
      inside,
      cluster: () => cluster,
      tokens: bench.tokens,
      members: { serving: () => ({ send: (text) => void group.push(text) }) },
      log: pino({ level: 'silent' }),
    })
  }
}

function edgeForwards(
  t: Test,
  desk: EdgeDesk,
  wire: string,
  message: Message,
  source: Endpoint,
  details: Details,
): void {
  desk.edge.receive(batchOf(source, wire), 'outside')
  desk.edge.receive(batchOf(source, wire), 'outside')
  const [out = '', copy] = desk.group
  t.equal(copy, out, 'a copy is a copy: the branch is the same')
  t.ok(out.startsWith(`${message.requestMethod} ${message.requestUri} SIP/2.0\r\n`))
  const added = { REGISTER: 'Path', INVITE: 'Record-Route' }[message.requestMethod]
  const isAdded = added !== undefined && message.toTag === undefined
  const line = new RegExp(`^${added}: <sip:[\\w.-]+@[\\da-f.:[\\]]+;lr(?:;ob)?>\\r\\n`, 'm')
  const plain = isAdded ? withoutLine(out, line) : out
  const own = /^Via: SIP\/2\.0\/UDP 192\.0\.2\.60:5160;branch=z9hG4bKo[\w-]+;map=1(?:;cred)?\r\n/m
  t.equal(undo(t, plain, message, source, own), afterStartLine(message.text), 'nothing else differs')

  const response = respond(read(out), 200) ?? ''
  desk.edge.receive(batchOf(here, response), 'inside')
  const [answer] = desk.outside.take()
  if (message.topVia?.transport === 'udp') {
    t.strictSame(answer?.to, udp(source.address, details.port ?? 5060), 'the answer goes where the Via says')
    t.equal(read(answer?.text ?? '').values(H.via).length, message.values(H.via).length)
  } else t.equal(answer, undefined, 'the Via says TCP, of which no connection came')
}

/** As the answer to what this edge forwarded. */
function edgeHears(t: Test, desk: EdgeDesk, message: Message, fate: Fate): void {
  const source = udp(message.topVia?.received ?? message.topVia?.host ?? '')
  const request = message.text.replace(/^.*\r\n/, 'INVITE sip:user@example.com SIP/2.0\r\n')
  desk.edge.receive(batchOf(source, withoutToTag(request)), 'outside')
  const own = `${headerOf(desk.group[0] ?? '', 'via').trim()}\r\n`
  desk.outside.take()
  desk.edge.receive(batchOf(here, underOwn(message, own === '\r\n' ? OWN_ANYWAY : own)), 'inside')
  const sent = desk.outside.take()
  if (fate === 'pass') t.strictSame(sent, [{ text: message.text, to: udp(source.address) }])
  else {
    t.strictSame(sent, [])
    t.equal(desk.edge.counters.dropped, 1)
  }
}

/** Where what is wrong with the response is wrong with its request too, so that there is no branch. */
const OWN_ANYWAY = 'Via: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKoAAAA\r\n'

const withoutToTag = (text: string) => text.replace(/^(To: .*);tag=[^\r;]*/m, '$1')

function nameOf(file: string, { why }: Details): string {
  return why === undefined ? file : `${file} (${why})`
}

t.test('no message of the set is left out', async (t) => {
  const files = ['rfc4475', 'rfc5118'].flatMap((set) =>
    readdirSync(new URL(set, folder)).map((file) => `${set}/${file.slice(0, -'.dat'.length)}`),
  )
  t.strictSame([...new Set(TABLE.map(([file]) => file))].sort(), files.sort())
})

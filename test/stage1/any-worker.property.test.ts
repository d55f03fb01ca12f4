import fc from 'fast-check'
import t from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { respond } from '../../src/sip/response.ts'
import { Rewrite } from '../../src/sip/rewrite.ts'
import type { Face } from '../../stage1/route-request.ts'
import { edgeOf } from './edge-desk.ts'
import {
  A_IN,
  A_IN1,
  A_OUT,
  A1,
  ALICE,
  B_IN,
  B_IN1,
  B_OUT,
  BOB,
  BOB_TCP,
  parsed,
  requestLines,
  S1A,
  S1B,
  text,
  tokens,
  udp,
} from './fixture.ts'

// Whichever worker of whichever node gets a request: the same comes of it, but for the names of those it went through,
// and the answer finds its way back, whichever worker of the node it comes to.

type Desk = ReturnType<typeof edgeOf>
type Mode = 'always' | 'needed'

/** Connection 77 is held by worker 1 of s1a, 88 by worker 0 of s1b. */
function fourWorkers(stayInPath: Mode): ReadonlyMap<string, Desk> {
  const desks = [S1A, S1B].flatMap((self) => [0, 1].map((worker) => edgeOf({ self, worker, stayInPath })))
  desks[1]?.outside.open.add(77)
  desks[2]?.outside.open.add(88)
  return new Map(desks.map((desk) => [keyOf(desk.inside.local), desk]))
}

const keyOf = ({ address, port }: Endpoint) => `${address}:${port}`

interface Outcome {
  readonly to: string
  readonly text: string
  /** By whose hands it left the cluster. */
  readonly desk: Desk
}

/** What leaves the cluster, from worker to worker if need be. */
function follow(
  desks: ReadonlyMap<string, Desk>,
  desk: Desk,
  wire: string,
  source: Endpoint,
  face: Face,
): Outcome[] {
  desk.receive(wire, source, face)
  const leaves = [
    ...desk.toGroup.splice(0).map(({ group, text }) => ({ to: `group ${group}`, text, desk })),
    ...desk.outside.sent
      .splice(0)
      .map(({ to, text }) => ({ to: `${to.transport} ${keyOf(to)}`, text, desk })),
  ]
  const across = desk.inside.sent.splice(0).flatMap(({ to, text }) => {
    const next = desks.get(keyOf(to))
    return next
      ? follow(desks, next, text, desk.inside.local, 'inside')
      : [{ to: `inside ${keyOf(to)}`, text, desk }]
  })
  return [...leaves, ...across]
}

const OWN = [A_IN, A_IN1, B_IN, B_IN1, A_OUT, B_OUT]

/**
 * Without what tells of the workers it went through: their Vias, the hops they took, the hosts of their routes, their To
 * tags; and in an order of headers that says nothing.
 */
function neutral(wire: string): string {
  const message = parsed(wire)
  const hosts = new Set(OWN.map(({ address }) => address))
  const own = message.values(H.via).findIndex((via) => !hosts.has(/ ([\d.]+):/.exec(via)?.[1] ?? ''))
  const hops = message.isRequest ? new Rewrite(message).remove(H.maxForwards) : new Rewrite(message)
  const bare = hops
    .dropFirst(H.via, own)
    .toString()
    .replace(/^((?:Path|Record-Route): <sip:[^@]*@)(?:10\.0\.0\.\d:516\d|192\.0\.2\.\d:5060)/gm, '$1own')
  const text = message.isRequest ? bare : bare.replace(/^(To: .*?);tag=[^t]\w*$/m, '$1')
  const nameOf = (line: string) => line.slice(0, line.indexOf(':'))
  return text
    .split('\r\n')
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0))
    .join('\n')
}

const route = (to: Endpoint & { worker?: number }, at: Endpoint) => `<sip:${tokens.mint(to)}@${keyOf(at)};lr>`
const routes = fc.array(
  fc.constantFrom(
    ...[A_OUT, B_OUT, A_IN1].flatMap((at) => [
      `<sip:${keyOf(at)};lr>`,
      route(BOB, at),
      route(ALICE, at),
      route({ ...BOB_TCP, worker: 1 }, at),
      route({ ...BOB_TCP, connection: 88, worker: 0 }, at),
    ]),
    '<sip:example.com;lr>',
    '<sip:proxy.example.org;lr>',
    '<sip:203.0.113.40>',
    '<sip:203.0.113.40;lr>',
    '<sip:forged@192.0.2.1:5060;lr>',
    route(udp('192.0.2.9', 5060), udp('192.0.2.3', 5060)),
    'nonsense',
  ),
  { maxLength: 3 },
)
const uris = fc.constantFrom(
  ...[
    'sip:alice@example.com',
    'sip:bob@example.com',
    'sip:alice@direct.example',
    'sip:example.com',
    'tel:+1',
  ],
  ...[
    'sip:bob@203.0.113.9',
    'sip:bob@203.0.113.9;transport=tcp',
    'sip:bob@10.0.0.11:5071',
    'sip:x@example.org',
  ],
  ...['sip:alice@example.com;maddr=192.0.2.1', 'http://example.com'],
  route(BOB, A_OUT).slice(1, -1),
  route(BOB, B_OUT).slice(1, -1),
)
const headers = fc.subarray([
  'Max-Forwards: 20',
  'Proxy-Require: path',
  'Supported: outbound',
  'Contact: <sip:alice@198.51.100.7:40001>',
  'Path: <sip:evil.example.org;lr>',
  'P-Asserted-Identity: <sip:boss@example.com>',
  'Privacy: id',
  'Record-Route: <sip:sbc.example.org;lr>',
])
const requests = fc.record({
  method: fc.constantFrom('INVITE', 'ACK', 'CANCEL', 'BYE', 'REGISTER', 'OPTIONS', 'SUBSCRIBE', 'MESSAGE'),
  uri: uris,
  routes,
  headers,
  inDialog: fc.boolean(),
  face: fc.constantFrom<Face>('outside', 'inside'),
  mode: fc.constantFrom<Mode>('always', 'needed'),
})

type Given = typeof requests extends fc.Arbitrary<infer T> ? T : never

function wireOf({ method, uri, routes, headers, inDialog, face }: Given): string {
  const lines = requestLines(method, uri, [...headers, ...routes.map((each) => `Route: ${each}`)])
  if (face === 'inside') lines[1] = `Via: SIP/2.0/UDP ${keyOf(A1)};branch=z9hG4bKmember`
  return text(lines.map((line) => (inDialog && line.startsWith('To:') ? `${line};tag=t1` : line)))
}

const runs = { numRuns: 1000, seed: 3261 }

t.test('the same comes of a request at every worker', async (t) => {
  const property = fc.property(requests, (given) => {
    const wire = wireOf(given)
    const source = given.face === 'outside' ? ALICE : A1
    const [first = '', ...others] = [...fourWorkers(given.mode).keys()].map((key) => {
      const desks = fourWorkers(given.mode)
      return follow(desks, desks.get(key) as Desk, wire, source, given.face)
        .map(({ to, text }) => `${to}\n${neutral(text)}`)
        .join('\n')
    })
    return others.every((other) => other === first)
  })
  t.doesNotThrow(() => fc.assert(property, runs))
})

t.test(
  'the answer to what was sent on finds its sender, whichever worker of the node it comes to',
  async (t) => {
    const back = { outside: `udp ${keyOf(ALICE)}`, inside: `inside ${keyOf(A1)}` }
    const property = fc.property(requests, fc.nat(3), fc.nat(1), (given, at, to) => {
      const desks = fourWorkers(given.mode)
      const desk = [...desks.values()][at] as Desk
      const source = given.face === 'outside' ? ALICE : A1
      for (const sent of follow(desks, desk, wireOf(given), source, given.face)) {
        const answer = parsed(sent.text).isRequest ? respond(parsed(sent.text), 200) : undefined
        if (answer === undefined) continue
        const target = sent.to.startsWith('group') ? undefined : sent.desk
        const [, address = '', port] = /^\w+ ([\d.]+):(\d+)$/.exec(sent.to) ?? []
        const from = {
          ...udp(address, Number(port)),
          transport: sent.to.startsWith('tcp') ? 'tcp' : 'udp',
        } as Endpoint
        const node = [...desks.values()].filter(({ outside }) => outside.local === sent.desk.outside.local)
        const answers = target
          ? follow(desks, node[to] as Desk, answer, from, 'outside')
          : follow(desks, sent.desk, answer, A1, 'inside')
        if (answers.length !== 1 || answers[0]?.to !== back[given.face]) return false
        if (parsed(answers[0].text).values(H.via).length !== 1) return false
      }
      return true
    })
    t.doesNotThrow(() => fc.assert(property, runs))
  },
)

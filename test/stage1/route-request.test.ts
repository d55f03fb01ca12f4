import t from 'tap'
import { type EdgeNode, edgeWorker } from '../../src/partition/cluster.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { type Face, routeRequest } from '../../stage1/route-request.ts'
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
  clusterOf,
  parsed,
  requestLines,
  S1A,
  S1B,
  text,
  tokens,
  udp,
} from './fixture.ts'

interface Given {
  readonly method?: string
  readonly uri?: string
  readonly to?: string
  readonly route?: readonly string[]
  readonly face?: Face
  readonly source?: Endpoint
  readonly node?: EdgeNode
  readonly worker?: number
}

/** Where s1a sends a request, in short: `group b`, `outside 203.0.113.9:5060 -1` (a Route removed), `403 Relaying Denied`. */
function way({
  method = 'INVITE',
  uri = 'sip:bob@example.com',
  face = 'outside',
  node = S1A,
  worker = 0,
  ...given
}: Given): string {
  const lines = requestLines(
    method,
    uri,
    (given.route ?? []).map((route) => `Route: ${route}`),
  )
  const to = lines.findIndex((line) => line.startsWith('To:'))
  if (given.to) lines[to] = `To: ${given.to}`
  const source = given.source ?? (face === 'outside' ? ALICE : A1)
  const decision = routeRequest(parsed(text(lines)), source, face, {
    self: edgeWorker(node, worker),
    cluster: clusterOf(),
    tokens,
    isOpen: ({ connection }) => connection === 77,
  })
  const routes = 'routes' in decision && decision.routes > 0 ? ` -${decision.routes}` : ''
  switch (decision.to) {
    case 'group':
      return `group ${decision.group.name}${routes}`
    case 'outside':
    case 'edge': {
      const { transport, address, port } = decision.target
      const by = transport === 'udp' ? '' : `${transport} `
      return `${decision.to} ${by}${address}:${port}${routes}`
    }
    case 'redirect':
      return `redirect ${decision.group.name}`
    case 'self':
    case 'nobody':
      return decision.to
    case 'refuse':
      return `${decision.defect.status} ${decision.defect.reason}`
  }
}

const route = (user: string, { address, port }: Endpoint) =>
  `<sip:${user}${user && '@'}${address}:${port};lr>`
const mine = route('', A_OUT)
const flow = (to: Endpoint, at = A_OUT) => route(tokens.mint(to), at)
const IN_DIALOG = '<sip:bob@example.com>;tag=t1'

t.test(
  'without a Route: the owner of the user, by REGISTER the To, by all else the Request-URI',
  async (t) => {
    const register = { method: 'REGISTER', uri: 'sip:example.com' }
    t.equal(way({ ...register, to: '<sip:alice@example.com>' }), 'group b')
    t.equal(
      way({ ...register, to: '<sip:bob@EXAMPLE.com:5070>' }),
      'group a',
      'neither case nor port of the host',
    )
    t.equal(way({ uri: 'sip:alice@example.com', to: '<sip:bob@example.com>' }), 'group b')
    for (const method of ['INVITE', 'ACK', 'CANCEL', 'BYE', 'MESSAGE', 'SUBSCRIBE', 'OPTIONS', 'X-NEW'])
      t.equal(way({ method, uri: 'sip:bob@example.com' }), 'group a', method)
    t.equal(way({ uri: 'sip:bob@example.com', face: 'inside' }), 'group a')
  },
)

t.test('all spellings of a user have one owner', async (t) => {
  for (const uri of ['sip:alice@example.com', 'sips:%61lice@example.com', 'sip:alice:pw@example.com;x=y'])
    t.equal(way({ uri }), 'group b', uri)
  t.equal(way({ uri: 'sip:alice;phone-context=x@example.com' }), 'group b')
  t.equal(way({ uri: 'sip:555-1234@example.com' }), 'group a', 'a name with a hyphen')
  t.equal(way({ uri: 'sip:5551234@example.com' }), 'group b')
  t.equal(way({ uri: 'sip:555-1234@example.com;user=phone' }), 'group b', 'a number, however punctuated')
  t.equal(
    way({ method: 'REGISTER', uri: 'sip:example.com', to: '<sip:(555)1234@example.com;user=phone>' }),
    'group b',
  )
})

t.test('nobody in particular, and nobody of ours', async (t) => {
  t.equal(way({ method: 'OPTIONS', uri: 'sip:192.0.2.1:5060' }), 'self')
  t.equal(way({ method: 'OPTIONS', uri: 'sip:192.0.2.1' }), 'self', '5060 goes without saying')
  t.equal(way({ method: 'OPTIONS', uri: 'sip:10.0.0.1:5160', face: 'inside' }), 'self')
  t.equal(way({ method: 'OPTIONS', uri: 'sip:example.com' }), 'self')
  t.equal(way({ uri: 'sip:bob@192.0.2.1:5060' }), '404 Not Found')
  t.equal(way({ uri: 'sip:192.0.2.1:5061' }), '403 Relaying Denied', 'another port is somebody else')
  t.equal(way({ method: 'OPTIONS', uri: 'sip:192.0.2.2' }), 'self', 'any node answers for any other')
  const register = { method: 'REGISTER', uri: 'sip:example.com' }
  t.equal(way({ ...register, to: '<sip:example.com>' }), '400 Bad To')
  t.equal(way({ ...register, to: '<sip:alice@example.org>' }), '403 Domain Not Served Here')
  t.equal(way({ ...register, to: '<sip:alice@example.org>', face: 'inside' }), '403 Domain Not Served Here')
})

t.test('out into the world: never for strangers, numeric targets for our own side', async (t) => {
  for (const uri of ['sip:x@example.org', 'sip:x@203.0.113.9', 'tel:+15551234', 'sip:192.0.2.2:5061'])
    t.equal(way({ uri }), '403 Relaying Denied', uri)
  const inside = (uri: string) => way({ uri, face: 'inside' })
  t.equal(inside('sip:x@203.0.113.9'), 'outside 203.0.113.9:5060')
  t.equal(inside('sip:x@203.0.113.9:5070;transport=UDP'), 'outside 203.0.113.9:5070')
  t.equal(inside('sip:x@203.0.113.9;transport=tcp'), 'outside tcp 203.0.113.9:5060')
  t.equal(inside('sip:x@example.org;maddr=203.0.113.9'), 'outside 203.0.113.9:5060')
  for (const uri of [
    'sip:x@example.org',
    'tel:+15551234',
    'sips:x@203.0.113.9',
    'sip:x@203.0.113.9;transport=ws',
  ])
    t.equal(inside(uri), '478 Unresolvable Destination', uri)
  for (const uri of [
    'sip:x@0.0.0.0',
    'sip:x@255.255.255.255',
    'sip:x@224.0.1.75',
    'sip:x@[::]',
    'sip:x@[ff02::1]',
  ])
    t.equal(inside(uri), '478 Unresolvable Destination', uri)
})

t.test('a way out never leads back in, where we are trusted', async (t) => {
  const members = ['10.0.0.11:5071', '10.0.0.22:5074']
  const nodes = ['10.0.0.2:5160', '192.0.2.2:5060']
  for (const socket of [...members, ...nodes]) {
    const refusal = members.includes(socket) ? '403 Destination Not Allowed' : '404 Not Found'
    t.equal(way({ uri: `sip:x@${socket}`, face: 'inside' }), refusal, socket)
    const [address = '', port] = socket.split(':')
    const back = [flow(udp(address, Number(port)))]
    t.equal(way({ route: back, face: 'inside' }), '403 Destination Not Allowed', `flow to ${socket}`)
    t.equal(way({ method: 'BYE', to: IN_DIALOG, route: back }), '403 Destination Not Allowed')
  }
  t.equal(
    way({ uri: 'sip:x@10.0.0.11:5099', face: 'inside' }),
    'outside 10.0.0.11:5099',
    'another port is a client',
  )
})

t.test('an own Route is popped, by whichever of our names', async (t) => {
  t.equal(way({ route: [mine] }), 'group a -1')
  t.equal(way({ route: [route('', A_IN)], face: 'inside' }), 'group a -1')
  t.equal(way({ route: ['<sip:192.0.2.1;lr>, <sip:example.com;lr>'] }), 'group a -2', 'what phones preload')
  t.equal(way({ route: [route('', B_OUT), mine] }), 'group a -2', 'another node could do no better')
  t.equal(way({ method: 'OPTIONS', uri: 'sip:192.0.2.1', route: [mine] }), 'self')
  t.equal(way({ method: 'REGISTER', uri: 'sip:example.com', route: [mine] }), 'group a -1')
})

t.test('from inside, a token is followed', async (t) => {
  t.equal(way({ route: [flow(ALICE, A_IN)], face: 'inside' }), 'outside 198.51.100.7:40001 -1')
  t.equal(way({ route: [mine, flow(BOB)], face: 'inside' }), 'outside 203.0.113.9:5060 -2')
  t.equal(
    way({ route: [flow(BOB), '<sip:proxy.example.org;lr>'], face: 'inside' }),
    'outside 203.0.113.9:5060 -1',
  )
  t.equal(way({ route: [flow(BOB), flow(ALICE)], face: 'inside' }), 'outside 203.0.113.9:5060 -1')
  const tls = { ...ALICE, transport: 'tls' } as const
  t.equal(way({ route: [flow(tls)], face: 'inside' }), '430 Flow Failed')
})

t.test('a token of a connection leads to the worker that holds it, by all others too', async (t) => {
  const of = (worker: number, at = A_OUT, connection = 77) =>
    flow({ ...BOB_TCP, connection, worker } as Endpoint, at)
  const bye = { method: 'BYE', uri: 'sip:bob@203.0.113.9', to: IN_DIALOG }
  for (const given of [bye, { face: 'inside' as const }]) {
    t.equal(way({ ...given, route: [of(0)] }), 'outside tcp 203.0.113.9:50002 -1')
    t.equal(way({ ...given, route: [of(1)] }), 'edge 10.0.0.1:5161')
    t.equal(way({ ...given, route: [of(1)], worker: 1 }), 'outside tcp 203.0.113.9:50002 -1')
    t.equal(way({ ...given, route: [of(1, B_OUT)] }), 'edge 10.0.0.2:5161')
    t.equal(way({ ...given, route: [of(0, A_OUT, 78)] }), '430 Flow Failed', 'a connection that is gone')
    t.equal(way({ ...given, route: [of(2)] }), '430 Flow Failed', 'a worker that is gone')
    t.equal(way({ ...given, route: [of(2, B_IN)] }), '430 Flow Failed')
  }
  t.equal(
    way({ ...bye, source: { ...BOB_TCP, connection: 77 }, route: [of(0), flow(ALICE)] }),
    'outside 198.51.100.7:40001 -2',
    "the sender's own",
  )
  const place: Endpoint = { transport: 'tcp', address: '203.0.113.9', port: 5060 }
  t.equal(way({ face: 'inside', route: [flow(place)] }), 'outside tcp 203.0.113.9:5060 -1', 'to be opened')
})

t.test('two workers that see the cluster differently do not send a request to and fro', async (t) => {
  t.equal(way({ face: 'inside', source: B_IN1, route: [flow(BOB, B_OUT)] }), '482 Loop Detected')
  t.equal(
    way({ face: 'inside', source: A_IN1, route: [flow({ ...BOB_TCP, worker: 1 } as Endpoint)] }),
    '482 Loop Detected',
  )
  t.equal(way({ face: 'inside', source: A1, route: [flow(BOB, B_OUT)] }), 'edge 10.0.0.2:5160')
  t.equal(way({ face: 'inside', source: B_IN1, route: [flow(BOB)] }), 'outside 203.0.113.9:5060 -1')
})

t.test('nothing leaves by a version of IP that we have no socket of', async (t) => {
  const there = udp('2001:db8::9', 5060)
  t.equal(way({ face: 'inside', route: [flow(there)] }), 'outside 2001:db8::9:5060 -1')
  t.equal(way({ face: 'inside', route: [flow(there, B_OUT)], node: S1B }), '430 Flow Failed')
})

t.test("in a dialog, the sender's own token is passed over and the other side's followed", async (t) => {
  const bye = { method: 'BYE', uri: 'sip:bob@203.0.113.9', to: IN_DIALOG }
  t.equal(way({ ...bye, route: [flow(ALICE), flow(BOB)] }), 'outside 203.0.113.9:5060 -2')
  t.equal(way({ ...bye, route: [flow(BOB)] }), 'outside 203.0.113.9:5060 -1')
  t.equal(
    way({ ...bye, uri: 'sip:bob@example.com', route: [flow(ALICE)] }),
    'group a -1',
    'the other side is a group',
  )
  t.equal(way({ ...bye, route: [flow(ALICE)] }), '403 Relaying Denied')
  t.equal(
    way({ ...bye, route: [flow(ALICE), flow(ALICE)] }),
    'outside 198.51.100.7:40001 -2',
    'both behind one socket',
  )
  const moved = udp('198.51.100.7', 40_002)
  t.equal(
    way({ ...bye, source: moved, route: [flow(ALICE), flow(BOB)] }),
    'outside 203.0.113.9:5060 -2',
    'NAT rebound',
  )
  t.equal(
    way({ ...bye, route: [flow(ALICE), flow(BOB), '<sip:proxy.example.org;lr>'] }),
    'outside 203.0.113.9:5060 -2',
    'the rest is for who comes next',
  )
})

t.test('a token of another node goes there, with its Route', async (t) => {
  const bye = { method: 'BYE', uri: 'sip:bob@203.0.113.9', to: IN_DIALOG }
  t.equal(way({ ...bye, route: [flow(ALICE), flow(BOB, B_OUT)] }), 'edge 10.0.0.2:5160 -1')
  t.equal(
    way({ ...bye, route: [flow(ALICE, B_OUT), flow(BOB, B_OUT)] }),
    'edge 10.0.0.2:5160 -1',
    'all of the dialog was there: it is not sent back to its sender',
  )
  t.equal(way({ ...bye, route: [flow(ALICE, B_OUT), flow(BOB)] }), 'outside 203.0.113.9:5060 -2')
  t.equal(way({ route: [flow(BOB, B_IN)], face: 'inside' }), 'edge 10.0.0.2:5160')
  const gone = udp('192.0.2.3', 5060)
  t.equal(way({ ...bye, route: [flow(BOB, gone)] }), '430 Flow Failed', 'a node that left the cluster')
  t.equal(way({ route: [flow(BOB, gone)], face: 'inside' }), '430 Flow Failed')
})

t.test('a stranger gets nowhere by Route', async (t) => {
  for (const at of [A_OUT, A_IN, B_OUT, B_IN]) {
    for (const user of ['alice', 'A'.repeat(40), tokens.mint(BOB).replace(/^./, '!')])
      t.equal(way({ route: [route(user, at)], to: IN_DIALOG }), '403 Flow Token Not Ours', user)
    t.equal(
      way({ route: [flow(BOB, at)] }),
      '403 Flow Token Outside Of A Dialog',
      'past the group of the called user',
    )
  }
  t.equal(
    way({ uri: 'sip:x@203.0.113.9', route: [route('', B_IN)] }),
    '403 Relaying Denied',
    'through two nodes',
  )
  t.equal(way({ route: ['<sip:203.0.113.9;lr>'] }), '403 Relaying Denied')
  t.equal(way({ route: [mine, '<sip:203.0.113.9;lr>'] }), '403 Relaying Denied')
  t.equal(way({ route: ['<sip:user@example.com;lr>'] }), '403 Relaying Denied')
  t.equal(way({ route: ['<sip:203.0.113.9;lr>'], face: 'inside' }), 'outside 203.0.113.9:5060')
  t.equal(way({ route: ['<sip:proxy.example.org;lr>'], face: 'inside' }), '478 Unresolvable Destination')
})

t.test('a Route that is none', async (t) => {
  for (const bad of ['', '<sip:192.0.2.1', 'nonsense', '<sip:@>', ','])
    t.equal(way({ route: [mine, bad] }), bad === '' || bad === ',' ? 'group a -1' : '400 Bad Route', bad)
})

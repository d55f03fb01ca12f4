import t, { type Test } from 'tap'
import { DgramTransport } from '../../src/net/dgram-transport.ts'
import type { Transport, TransportEvents } from '../../src/net/transport.ts'
import type { Group, MemberRow } from '../../src/partition/partition-map.ts'
import { respond } from '../../src/sip/response.ts'
import { Members } from '../../stage1/members.ts'
import { openSockets } from '../net/transport-suite.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { batch, FakeTransport, MEMBERS, mapOf, parsed, udp } from './fixture.ts'

/** A connected transport whose far side can be asked to answer the latest probe, or to be gone. */
class FakeSocket extends FakeTransport {
  readonly events: TransportEvents

  constructor(events: TransportEvents) {
    super(udp('10.0.0.1', 34_567))
    this.events = events
  }

  answer(status = 200, reason?: string): void {
    const probe = this.sent.findLast(({ text }) => text.startsWith('OPTIONS'))
    const answer = probe && respond(parsed(probe.text), status, reason === undefined ? {} : { reason })
    if (probe && answer) this.events.onMessages(batch(probe.to, answer), this)
  }

  refuse(): void {
    this.events.onError(Object.assign(new Error(), { code: 'ECONNREFUSED' }), undefined)
  }
}

function fakeMembers() {
  const clock = new FakeClock()
  const sockets = new Map<string, FakeSocket>()
  const opened: FakeSocket[] = []
  const members = new Members({
    node: 's1a',
    probeIntervalMs: 500,
    clock,
    connect: async ({ address }, events) => {
      const socket = new FakeSocket(events)
      sockets.set(address, socket)
      opened.push(socket)
      return socket
    },
    onChange: () => {},
  })
  const socketOf = (node: string) => sockets.get(rowOf(node).address) as FakeSocket
  const serving = (group: string) => members.serving({ name: group } as Group)?.member.node
  return { members, clock, opened, socketOf, serving }
}

const rowOf = (node: string): MemberRow => {
  const row = MEMBERS.find((member) => member.node === node)
  if (!row) throw new Error(node)
  return row
}

/** A test of which no timer and no socket may be left when the members are closed. */
function test(name: string, body: (t: Test, made: ReturnType<typeof fakeMembers>) => Promise<void>): void {
  t.test(name, async (t) => {
    const made = fakeMembers()
    await body(t, made)
    await made.members.close()
    t.equal(made.clock.pending, 0, 'no timer is left')
    t.ok(
      made.opened.every(({ closes }) => closes === 1),
      'every socket is closed',
    )
  })
}

test('the master serves while it lives, then the slave, then nobody; no other group is touched', async (t, made) => {
  const { members, socketOf, serving } = made
  await members.adopt(mapOf())
  for (const node of ['a1', 'a2', 'b1', 'b2']) socketOf(node).answer()
  t.same([serving('a'), serving('b')], ['a1', 'b1'])
  socketOf('a1').refuse()
  t.same([serving('a'), serving('b')], ['a2', 'b1'])
  socketOf('a2').answer(503)
  t.same([serving('a'), serving('b')], [undefined, 'b1'])
  t.equal(serving('no such group'), undefined)
})

test('it comes back after two good answers', async (t, made) => {
  const { members, clock, socketOf, serving } = made
  await members.adopt(mapOf())
  for (const node of ['a1', 'a2']) socketOf(node).answer()
  socketOf('a1').refuse()
  for (const expected of ['a2', 'a1']) {
    clock.advance(500)
    for (const node of ['a1', 'a2']) socketOf(node).answer()
    t.equal(serving('a'), expected)
  }
})

test('before the first answers the first member is tried, but one that answers goes before', async (t, made) => {
  const { members, clock, socketOf, serving } = made
  t.equal(serving('a'), undefined, 'no map yet')
  await members.adopt(mapOf())
  t.equal(serving('a'), 'a1')
  socketOf('a2').answer()
  t.equal(serving('a'), 'a2')
  clock.advance(1000)
  t.equal(serving('b'), undefined, 'not for long')
})

test('CANCEL and ACK reach a member that drains too, and one that gave way; new work does not', async (t, made) => {
  const { members, clock, socketOf } = made
  await members.adopt(mapOf())
  for (const node of ['a1', 'a2']) socketOf(node).answer()
  let sent = 0
  const reached = (method: string) => {
    const request = `${method} ${++sent}`
    members.wayOf({ name: 'a' } as Group, method)?.send(request)
    return ['a1', 'a2'].filter((node) => socketOf(node).sent.at(-1)?.text === request)
  }
  t.same([reached('INVITE'), reached('CANCEL')], [['a1'], ['a1']])
  socketOf('a1').answer(503, 'Draining')
  t.same([reached('INVITE'), reached('CANCEL'), reached('ACK')], [['a2'], ['a1', 'a2'], ['a1', 'a2']])
  socketOf('a2').answer(503, 'Stopping')
  t.same([reached('INVITE'), reached('CANCEL')], [[], ['a1', 'a2']])
  socketOf('a1').answer(503, 'Loading')
  t.same(reached('CANCEL'), ['a2'], 'one that loads has nothing open')

  for (let i = 0; i < 2; i++) {
    clock.advance(500)
    for (const node of ['a1', 'a2']) socketOf(node).answer()
  }
  t.same([reached('INVITE'), reached('CANCEL')], [['a1'], ['a1', 'a2']], 'a1 is back')
  for (let i = 0; i < 430; i++) {
    clock.advance(500)
    for (const node of ['a1', 'a2']) socketOf(node).answer()
  }
  t.same(reached('CANCEL'), ['a1'], 'by now nothing of then is open')
})

test('a new map keeps health, opens what is new and closes what is gone', async (t, made) => {
  const { members, opened, socketOf, serving } = made
  await members.adopt(mapOf())
  for (const node of ['a1', 'a2', 'b1']) socketOf(node).answer()
  const [a1, a2, b2] = ['a1', 'a2', 'b2'].map(socketOf) as [FakeSocket, FakeSocket, FakeSocket]
  a1.refuse()

  const newcomer: MemberRow = { ...rowOf('b2'), node: 'b3', address: '10.0.0.23' }
  const changed = MEMBERS.filter(({ node }) => node !== 'b2').map((row): MemberRow => {
    return row.group === 'a' ? { ...row, role: row.role === 'master' ? 'slave' : 'master' } : row
  })
  await members.adopt(mapOf([...changed, newcomer], 8))
  t.same([opened.length, b2.closes, a2.closes], [5, 1, 0])
  t.same([serving('a'), serving('b')], ['a2', 'b1'])
  a2.refuse()
  t.equal(serving('a'), undefined, 'the new slave is as dead as the old master was')

  const moved = { ...rowOf('a1'), port: 5099 }
  await members.adopt(mapOf([moved, rowOf('b1')], 9))
  t.equal(a1.closes, 1, 'another address is another link')
  t.same([serving('a'), serving('b')], ['a1', 'b1'])
})

test('maps that come fast are adopted one after the other', async (t, made) => {
  const { members, opened, serving } = made
  const only = (node: string) => mapOf([rowOf(node)])
  await Promise.all([members.adopt(mapOf()), members.adopt(only('a1')), members.adopt(only('b1'))])
  t.same([serving('a'), serving('b')], [undefined, 'b1'])
  t.same([opened.length, opened.filter(({ closes }) => closes === 0).length], [5, 1])
})

test('closing while a map is being adopted leaves nothing open, and no map is adopted after', async (t, made) => {
  const { members, opened, serving } = made
  const adopted = members.adopt(mapOf())
  while (opened.length === 0) await Promise.resolve()
  const later = members.adopt(mapOf([rowOf('a1')]))
  const closed = members.close()
  await Promise.all([adopted, later, closed, members.adopt(mapOf())])
  t.equal(serving('a'), undefined)
  t.ok(opened.every(({ closes }) => closes === 1))
})

t.test('over real sockets: up, refused at once, up again', async (t) => {
  const address = '127.0.21.1'
  const clock = new FakeClock()
  const changes: string[] = []
  let happened = () => {}
  /** The next answer or change of state. */
  const next = () =>
    new Promise<void>((resolve) => {
      happened = resolve
    })
  const listen = (port: number): Promise<Transport> =>
    DgramTransport.open(
      { address, port, option: 'x' },
      {
        onMessages: (probes, socket) =>
          socket.send(respond(parsed(probes.text(0)), 200) ?? '', probes.source(0)),
        onError: () => {},
      },
    )
  const member = await listen(0)
  const { port } = member.local
  const members = new Members({
    node: 's1a',
    probeIntervalMs: 500,
    clock,
    connect: (peer, events) =>
      DgramTransport.open(
        { address, port: 0, option: 'x', peer },
        {
          ...events,
          onMessages: (answers, socket) => {
            events.onMessages(answers, socket)
            happened()
          },
        },
      ),
    onChange: (_, state, reason) => {
      changes.push(`${state}: ${reason}`)
      happened()
    },
  })
  const up = next()
  await members.adopt(mapOf([{ ...rowOf('a1'), address, port }]))
  await up
  await member.close()
  const down = next()
  clock.advance(500)
  await down
  t.same(changes, ['up: answers probes', 'down: connection refused'])
  const back = await listen(port)
  for (const expected of [2, 3]) {
    const answer = next()
    clock.advance(500)
    await answer
    t.equal(changes.length, expected, 'two answers are needed')
  }
  t.equal(changes.at(-1), 'up: answers probes')
  await members.close()
  await back.close()
  t.same([clock.pending, await openSockets()], [0, 0])
})

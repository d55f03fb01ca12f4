import t from 'tap'
import { respond } from '../../src/sip/response.ts'
import type { EdgeOptions } from '../../stage1/edge.ts'
import { edgeOf, flow, INVITE, sentBy, statusOf, swap, wire } from './edge-desk.ts'
import { A_IN, A1, ALICE, B1, BOB, parsed } from './fixture.ts'

/** Keeps what it is asked and told; `no` names what it forbids. */
function guardOf(...no: string[]) {
  const calls: string[] = []
  const may = (call: string) => !no.includes(call)
  const guard: NonNullable<EdgeOptions['guard']> = {
    admits: ({ port }, nowMs, cost) => {
      calls.push(`admits ${port} ${nowMs} ${cost}`)
      return may('admits')
    },
    noteRequest: ({ method }) => {
      calls.push(`request ${method}`)
      return may('request')
    },
    noteRefused: ({ port }) => void calls.push(`refused ${port}`),
    noteAnswer: ({ port }, status, method, hadCredentials) =>
      void calls.push(`answer ${port} ${status} ${method} ${hadCredentials}`),
    mayAnswerDefect: () => may('defect'),
  }
  /** What it was told of since the last call, admissions aside. */
  const told = () => calls.splice(0).filter((call) => !call.startsWith('admits'))
  return { calls, told, desk: edgeOf({ guard, clock: { monotonicMs: () => 17 } }) }
}

const BAD = swap(INVITE, /CSeq.*\r\n/, '')

t.test('the guard is asked before anything is parsed, and of the outside only', async (t) => {
  const { desk, calls } = guardOf('admits')
  for (const message of [INVITE, 'noise', '\r\n\r\n', BAD]) desk.receive(message)
  t.same(calls, ['admits 40001 17 1', 'admits 40001 17 1', 'admits 40001 17 0.25', 'admits 40001 17 1'])
  t.same(desk.taken(), [])
  t.same(
    desk.counters,
    { requests: 0, responses: 0, refused: 0, dropped: 0, unsent: 0, keepAlives: 0 },
    'it counts what it drops',
  )
  calls.splice(0)
  desk.receive(sentBy(B1, INVITE), B1, 'inside')
  t.same(calls, [])
  t.equal(desk.taken().length, 1)
})

t.test('the request of a scanner is dropped without an answer', async (t) => {
  const { desk, told } = guardOf('request')
  desk.receive(INVITE)
  t.same(desk.taken(), [])
  t.same(told(), ['request INVITE'])
})

t.test('it is told of what no honest client does', async (t) => {
  const { desk, told } = guardOf()
  const after = (message: string, source = ALICE) => {
    desk.receive(message, source)
    const [answer] = desk.taken()
    return [answer && statusOf(answer.text), ...told().filter((call) => !call.startsWith('request'))]
  }
  t.same(after('GET / HTTP/1.1\r\n\r\n'), [undefined, 'refused 40001'])
  t.same(after(BAD), [400, 'refused 40001'])
  t.same(after(wire('INVITE', 'sip:x@example.org')), [403, 'refused 40001'])
  t.same(after(wire('INVITE', 'sip:192.0.2.1')), [404, 'refused 40001'])
  t.same(after(wire('INVITE', 'sip:alice@example.com', ['Max-Forwards: 0'])), [483])
  t.same(after(wire('INVITE', 'sip:alice@example.com', ['Proxy-Require: x'])), [420])
  t.same(after(wire('OPTIONS', 'sip:192.0.2.1')), [200])
  t.same(after(respond(parsed(INVITE), 200) ?? ''), [undefined, 'refused 40001'])
  desk.receive(sentBy(A1, wire('INVITE', 'sip:192.0.2.1')), A1, 'inside')
  t.same([statusOf(desk.taken()[0]?.text ?? ''), ...told()], [404], 'of our own side it hears nothing')
})

t.test('malformed requests are answered only as often as it allows', async (t) => {
  const { desk, told } = guardOf('defect')
  desk.receive(BAD)
  t.same(desk.taken(), [])
  t.same(told(), ['request INVITE', 'refused 40001'])
  t.equal(desk.counters.refused, 1)
})

t.test('it is told of the answers that clients get, and whether they had given credentials', async (t) => {
  const { desk, told } = guardOf()
  const answered = (status: number, request: string, source = ALICE) => {
    desk.receive(request, source)
    desk.receive(respond(parsed(desk.toGroup.splice(0)[0]?.text), status) ?? '', B1, 'inside')
    desk.taken()
    return told().slice(1)
  }
  const register = (more: string[] = []) => wire('REGISTER', 'sip:example.com', more)
  t.same(answered(401, register()), ['answer 40001 401 REGISTER false'])
  t.same(answered(401, register(['Authorization: Digest x'])), ['answer 40001 401 REGISTER true'])
  t.same(answered(200, INVITE), ['answer 40001 200 INVITE false'])
  t.same(answered(407, wire('INVITE', 'sip:bob@example.com', ['Proxy-Authorization: Digest x'])), [
    'answer 40001 407 INVITE true',
  ])
  const call = sentBy(B1, wire('INVITE', 'sip:bob@203.0.113.9', [`Route: ${flow(BOB, A_IN)}`]))
  desk.receive(respond(parsed(desk.one(call, B1, 'inside')), 403) ?? '', BOB)
  t.equal(desk.taken().length, 1)
  t.same(told(), [], 'what a client answers is no answer to a client')
})

t.test('keep-alives over UDP are taken, and STUN is answered', async (t) => {
  const { receive, taken, counters } = edgeOf()
  for (const filler of ['\r\n\r\n', '\0', 'jaK']) receive(filler)
  t.same(taken(), [])
  const binding = '\0\x01\0\0\x21\x12\xa4\x42123456789012'
  receive(binding)
  const [answer] = taken()
  t.equal(answer?.text.slice(0, 2), '\x01\x01')
  t.equal(counters.keepAlives, 4)
  t.equal(counters.dropped, 0)
  receive(binding, { ...ALICE, transport: 'tcp', connection: 1 })
  receive(binding, A1, 'inside')
  t.same(taken(), [])
  t.equal(counters.dropped, 2)
})

import t, { type Test } from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import type { Message } from '../../src/sip/message.ts'
import { Rewrite } from '../../src/sip/rewrite.ts'
import { newBranch } from '../../src/sip/transaction/branch.ts'
import { TransactionLayer } from '../../src/sip/transaction/layer.ts'
import { formatVia } from '../../src/sip/via.ts'
import { ResponseContext, type Target } from '../../stage2/response-context.ts'
import { ackTo, cancelOf, parsed, requestText, responseTo } from '../sip/transaction/bench.ts'
import { edgeInside, here, udp } from '../support/cluster.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeTransport } from '../support/fake-transport.ts'

const caller = edgeInside

const target = (name: string, q = 1000): Target => ({
  uri: `sip:${name}@192.0.2.9`,
  route: [],
  hop: udp(`198.51.100.${name.charCodeAt(0)}`),
  q,
})

/** A proxy with one request: what it sends, by who gets it. Branches are named `a`, `b`, … */
class Fork {
  readonly clock = new FakeClock()
  readonly transport = new FakeTransport(here)
  readonly layer: TransactionLayer
  readonly request: string
  context!: ResponseContext
  /** Targets that cannot be sent to. */
  readonly unreachable = new Set<string>()
  /** What each branch was sent: its request. */
  readonly branches = new Map<string, string>()

  constructor(method = 'INVITE') {
    this.layer = new TransactionLayer(
      { clock: this.clock, send: (text, to) => this.#send(text, to) },
      {
        request: (request, source) => {
          const serve = this.layer.serve.bind(this.layer)
          this.context = new ResponseContext(this.layer, request, source, serve)
        },
        ack: () => {},
      },
    )
    this.request = requestText(method, { via: `SIP/2.0/UDP 192.0.2.60:5160;branch=${newBranch()}` })
    this.receive(this.request)
  }

  #send(text: string, to: Endpoint): void {
    if (this.unreachable.has(to.address)) this.layer.transportError(to, text)
    else this.transport.send(text, to)
  }

  start(...targets: Target[]): void {
    this.context.start(targets, ({ uri }) =>
      new Rewrite(parsed(this.request))
        .setRequestUri(uri)
        .prepend(H.via, formatVia(here, newBranch()))
        .toString(),
    )
  }

  receive(text: string, source = caller): void {
    this.layer.receive(parsed(text), source)
  }

  /** A branch answers. */
  answer(name: string, status: number, lines = '', tag = name): void {
    const request = this.branches.get(name)
    if (!request) throw new Error(`no branch ${name}`)
    const text = responseTo(request, status, tag).replace('Content-Length', `${lines}Content-Length`)
    this.receive(text, udp(`198.51.100.${name.charCodeAt(0)}`))
  }

  /** What was sent since the last call: `a INVITE` to a branch, `486` with its To tag to the caller. */
  take(): string[] {
    return this.transport.take().map(({ text, to }) => {
      const message = parsed(text)
      if (to.address === caller.address) return `${message.status} ${message.toTag ?? ''}`.trim()
      const name = String.fromCharCode(Number(to.address.split('.')[3]))
      if (message.requestMethod !== 'CANCEL' && message.requestMethod !== 'ACK') this.branches.set(name, text)
      return `${name} ${message.requestMethod}`
    })
  }

  /** The last response to the caller. */
  takeResponse(): Message | undefined {
    const texts = this.transport.take().filter(({ to }) => to.address === caller.address)
    const last = texts.at(-1)
    return last && parsed(last.text)
  }

  /** Caller and branches end what is still going on; nothing may be left. */
  assertEmpty(t: Test): void {
    this.receive(ackTo(this.request, 'any'))
    this.clock.advance(400_000)
    t.equal(this.layer.entries, 0, 'no transaction is left')
    t.equal(this.clock.pending, 0, 'no timer is left')
  }
}

/** A fork that rings at `a`, `b`, … all at once. */
function parallel(...names: string[]): Fork {
  const fork = new Fork()
  fork.start(...names.map((name) => target(name)))
  fork.take()
  return fork
}

t.test('an INVITE gets 100 at once, other requests do not', async (t) => {
  const invite = new Fork()
  t.strictSame(invite.take(), ['100'])
  invite.context.refuse({ status: 404 })
  const options = new Fork('OPTIONS')
  t.strictSame(options.take(), [])
  options.context.refuse({ status: 404 })
  for (const fork of [invite, options]) fork.assertEmpty(t)
})

t.test('§16.7 step 5: provisional responses go on, except 100', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('a', 100)
  t.strictSame(fork.take(), [])
  fork.answer('a', 180)
  fork.answer('b', 183)
  fork.answer('a', 180)
  t.strictSame(fork.take(), ['180 a', '183 b', '180 a'])
  fork.answer('a', 486)
  fork.answer('b', 486)
  fork.assertEmpty(t)
})

t.test('what is passed on is what came, without our Via', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 180, 'X-Odd:   kept  as is\r\n')
  const [sent] = fork.transport.take()
  t.strictSame(sent?.to, caller)
  const own = /^Via: SIP\/2\.0\/UDP 192\.0\.2\.71:5071[^\r]*\r\n/m
  const expected = responseTo(fork.branches.get('a') ?? '', 180, 'a')
    .replace(own, '')
    .replace('Content-Length', 'X-Odd:   kept  as is\r\nContent-Length')
  t.equal(sent?.text, expected)
  fork.answer('a', 486)
  fork.assertEmpty(t)
})

t.test('a 2xx goes on at once, and the other branches are cancelled', async (t) => {
  const fork = parallel('a', 'b', 'c')
  fork.answer('a', 180)
  fork.answer('b', 180)
  fork.take()
  fork.answer('b', 200)
  t.strictSame(fork.take(), ['200 b', 'a CANCEL'], 'c has said nothing, and may not be cancelled yet')
  fork.answer('c', 180)
  t.strictSame(fork.take(), ['c CANCEL'], 'now it may; its 180 comes too late to be passed on')
  fork.answer('a', 487)
  fork.answer('c', 487)
  t.strictSame(fork.take(), ['a ACK', 'c ACK'], 'and what they say is nobody’s business any more')
  fork.assertEmpty(t)
})

t.test('every 2xx to an INVITE goes on, of each branch and each copy', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('a', 200)
  fork.answer('b', 200)
  fork.answer('a', 200)
  fork.answer('a', 200, '', 'a2')
  t.strictSame(fork.take(), ['200 a', '200 b', '200 a', '200 a2'])
  fork.assertEmpty(t)
})

t.test('a non-INVITE has one final response', async (t) => {
  const fork = new Fork('MESSAGE')
  fork.start(target('a'), target('b'))
  t.strictSame(fork.take(), ['a MESSAGE', 'b MESSAGE'])
  fork.answer('a', 180)
  t.strictSame(fork.take(), [], 'RFC 4320: no provisional response but a late 100')
  fork.answer('a', 200)
  fork.answer('b', 200)
  t.strictSame(fork.take(), ['200 a'])
  fork.assertEmpty(t)
})

t.test('a 6xx ends the search, and waits for the other branches', async (t) => {
  const fork = new Fork()
  fork.start(target('a'), target('b'), target('c', 500))
  fork.take()
  fork.answer('b', 180)
  fork.take()
  fork.answer('a', 603)
  t.strictSame(fork.take(), ['a ACK', 'b CANCEL'])
  fork.answer('b', 487)
  t.strictSame(fork.take(), ['b ACK', '603 a'], 'c is not tried')
  fork.assertEmpty(t)
})

t.test('a 2xx that crosses a 6xx wins', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('a', 600)
  fork.answer('b', 200)
  t.strictSame(fork.take(), ['a ACK', '200 b'])
  fork.assertEmpty(t)
})

t.test('§16.7 step 6: the best of the final responses', async (t) => {
  const rounds: [statuses: number[], best: string][] = [
    [[486, 404], '486 a'],
    [[500, 486], '486 b'],
    [[486, 302], '302 b'],
    [[404, 486, 600], '600 c'],
    [[404, 401], '401 b'],
    [[486, 407], '407 b'],
    [[404, 415], '415 b'],
    [[404, 420], '420 b'],
    [[404, 484], '484 b'],
    [[408, 404], '404 b'],
    [[503, 500], '500 b'],
    [[503, 486], '486 b'],
    [[503, 302], '302 b'],
  ]
  for (const [statuses, best] of rounds) {
    const fork = new Fork()
    const names = statuses.map((_, i) => 'abc'.charAt(i))
    fork.start(...names.map((name) => target(name)))
    fork.take()
    for (const [i, status] of statuses.entries()) fork.answer(names[i] ?? '', status)
    t.equal(fork.take().at(-1), best, statuses.join(' and '))
    fork.assertEmpty(t)
  }
})

t.test('a 503 is passed on as 500: it speaks of one target only', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('a', 503, 'Retry-After: 600\r\n')
  fork.answer('b', 503)
  const response = fork.takeResponse()
  t.equal(response?.status, 500)
  t.notOk(response?.has(H.retryAfter))
  fork.assertEmpty(t)
})

t.test('§16.7 step 7: all challenges are in the 401 or 407', async (t) => {
  const fork = parallel('a', 'b', 'c')
  fork.answer('a', 407, 'Proxy-Authenticate: Digest realm="a"\r\n')
  fork.answer('b', 401, 'WWW-Authenticate: Digest realm="b1"\r\nWWW-Authenticate: Digest realm="b2"\r\n')
  fork.answer('c', 486)
  const response = fork.takeResponse()
  t.equal(response?.status, 407)
  t.strictSame(response?.values(H.proxyAuthenticate), ['Digest realm="a"'])
  t.strictSame(response?.values(H.wwwAuthenticate), ['Digest realm="b1"', 'Digest realm="b2"'])
  fork.assertEmpty(t)
})

t.test('challenges are in no other response', async (t) => {
  for (const status of [302, 603]) {
    const fork = parallel('a', 'b')
    fork.answer('a', 401, 'WWW-Authenticate: Digest realm="a"\r\n')
    fork.answer('b', status)
    const response = fork.takeResponse()
    t.equal(response?.status, status)
    t.equal(response?.has(H.wwwAuthenticate), false)
    fork.assertEmpty(t)
  }
})

t.test('serial by falling q, the next ones when all of the wave have failed', async (t) => {
  const fork = new Fork()
  fork.start(target('c', 300), target('a'), target('d', 300), target('b'))
  t.strictSame(fork.take(), ['100', 'a INVITE', 'b INVITE'])
  fork.answer('a', 486)
  t.strictSame(fork.take(), ['a ACK'])
  fork.answer('b', 408)
  t.strictSame(fork.take(), ['b ACK', 'c INVITE', 'd INVITE'])
  fork.answer('d', 404)
  fork.answer('c', 404)
  t.strictSame(fork.take(), ['d ACK', 'c ACK', '486 a'], 'the best of all waves')
  fork.assertEmpty(t)
})

t.test('after a 2xx no further wave begins', async (t) => {
  const fork = new Fork()
  fork.start(target('a'), target('b'), target('c', 300))
  fork.take()
  fork.answer('a', 200)
  fork.answer('b', 486)
  t.strictSame(fork.take(), ['200 a', 'b ACK'])
  fork.assertEmpty(t)
})

t.test('an INVITE that nobody answers gets 408', async (t) => {
  const fork = new Fork()
  fork.start(target('a'))
  fork.clock.advance(31_999)
  fork.transport.take()
  fork.clock.advance(1)
  t.strictSame(
    fork.take().map((word) => word.slice(0, 3)),
    ['408'],
  )
  fork.assertEmpty(t)
})

t.test('a silent branch is passed over for the next wave', async (t) => {
  const fork = new Fork()
  fork.start(target('a'), target('b', 500))
  fork.clock.advance(32_000)
  t.equal(fork.take().at(-1), 'b INVITE')
  fork.answer('b', 200)
  t.strictSame(fork.take(), ['200 b'])
  fork.assertEmpty(t)
})

t.test('RFC 4320: another request that nobody answers gets no 408', async (t) => {
  const fork = new Fork('MESSAGE')
  fork.start(target('a'))
  fork.clock.advance(40_000)
  const answers = fork.take().filter((word) => !word.startsWith('a '))
  t.strictSame(answers, ['100'], 'only the 100 that says that it is not lost')
  fork.assertEmpty(t)
})

t.test('a branch that rings too long is cancelled (Timer C), and answered for as by 487', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 180)
  fork.take()
  fork.clock.advance(181_000)
  t.strictSame(fork.take(), ['a CANCEL'])
  fork.answer('a', 487)
  t.strictSame(fork.take(), ['a ACK', '487 a'])
  fork.assertEmpty(t)
})

t.test('one that does not even react to that is given up with 408', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 180)
  fork.clock.advance(181_000 + 32_000)
  t.equal(fork.takeResponse()?.status, 408)
  fork.assertEmpty(t)
})

t.test('CANCEL: 200 to it, CANCEL to every branch that has answered, 487 from them goes on', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('a', 180)
  fork.take()
  fork.receive(cancelOf(fork.request))
  t.match(fork.take(), [/^200/, 'a CANCEL'])
  fork.answer('b', 180)
  t.strictSame(fork.take(), ['180 b', 'b CANCEL'])
  fork.answer('a', 487)
  fork.answer('b', 487)
  t.strictSame(fork.take(), ['a ACK', 'b ACK', '487 a'])
  fork.assertEmpty(t)
})

t.test('CANCEL before there are targets: 487, and none is tried', async (t) => {
  const fork = new Fork()
  fork.take()
  fork.receive(cancelOf(fork.request))
  fork.start(target('a'))
  const words = fork.take()
  t.equal(words.length, 2)
  t.match(words, [/^200/, /^487/])
  fork.assertEmpty(t)
})

t.test('CANCEL stops the search: no further wave', async (t) => {
  const fork = new Fork()
  fork.start(target('a'), target('b', 500))
  fork.take()
  fork.answer('a', 180)
  fork.receive(cancelOf(fork.request))
  fork.take()
  fork.answer('a', 487)
  t.strictSame(fork.take(), ['a ACK', '487 a'])
  fork.assertEmpty(t)
})

t.test('CANCEL that crosses a 200: the call stands, and nothing is cancelled', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 180)
  fork.answer('a', 200)
  fork.take()
  fork.receive(cancelOf(fork.request))
  t.match(fork.take(), [/^200/])
  fork.answer('a', 200)
  t.strictSame(fork.take(), ['200 a'])
  fork.assertEmpty(t)
})

t.test('a 200 that crosses our CANCEL goes on', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 180)
  fork.receive(cancelOf(fork.request))
  fork.take()
  fork.answer('a', 200)
  t.strictSame(fork.take(), ['200 a'])
  fork.assertEmpty(t)
})

t.test('CANCEL after a failure has no effect', async (t) => {
  const fork = parallel('a')
  fork.answer('a', 486)
  fork.take()
  fork.receive(cancelOf(fork.request))
  t.match(fork.take(), [/^200/])
  fork.assertEmpty(t)
})

t.test('late answers of branches that were given up are nobody’s', async (t) => {
  const fork = parallel('a', 'b')
  fork.answer('b', 486)
  fork.clock.advance(32_000)
  fork.take()
  fork.answer('a', 200)
  fork.answer('b', 200)
  t.strictSame(
    fork.take().filter((word) => !word.startsWith('486')),
    [],
  )
  fork.assertEmpty(t)
})

t.test('a target that cannot be sent to is passed over, the others go on', async (t) => {
  const fork = new Fork()
  fork.unreachable.add(target('a').hop.address)
  fork.unreachable.add(target('c').hop.address)
  fork.start(target('a'), target('b'), target('c', 500), target('d', 400))
  t.strictSame(fork.take(), ['100', 'b INVITE'], 'the first wave is not over yet')
  fork.answer('b', 486)
  t.strictSame(fork.take(), ['b ACK', 'd INVITE'], 'the second is, before it has begun')
  fork.answer('d', 404)
  t.strictSame(fork.take(), ['d ACK', '486 b'])
  fork.assertEmpty(t)
})

t.test('when nobody can be sent to: 500', async (t) => {
  for (const method of ['INVITE', 'MESSAGE']) {
    const fork = new Fork(method)
    for (const name of ['a', 'b', 'c']) fork.unreachable.add(target(name).hop.address)
    fork.start(target('a'), target('b'), target('c', 500))
    t.equal(fork.takeResponse()?.status, 500, method)
    fork.assertEmpty(t)
  }
})

t.test('a send that fails later counts as 503 too', async (t) => {
  const fork = parallel('a', 'b')
  fork.layer.transportError(target('a').hop)
  fork.answer('b', 404)
  t.strictSame(fork.take(), ['b ACK', '404 b'])
  fork.assertEmpty(t)
})

t.test('a failed ACK of a branch changes nothing', async (t) => {
  const fork = parallel('a', 'b')
  fork.unreachable.add(target('a').hop.address)
  fork.answer('a', 486)
  t.strictSame(fork.take(), [])
  fork.answer('b', 404)
  t.strictSame(fork.take(), ['b ACK', '486 a'])
  fork.assertEmpty(t)
})

t.test('too many transactions: it is not opened, and nothing is said', async (t) => {
  const fork = new Fork()
  fork.take()
  const request = parsed(requestText('INVITE'))
  const context = new ResponseContext(fork.layer, request, caller, () => undefined)
  t.equal(context.isOpen, false)
  t.strictSame(fork.take(), [])
  fork.context.refuse({ status: 404 })
  fork.assertEmpty(t)
})

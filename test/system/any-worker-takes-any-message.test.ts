import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Door, Doors } from '../support/doors.ts'
import { Tandem } from '../support/tandem.ts'

const HOST = '127.0.57.10'
const WORKERS = 2

const tandem = await Tandem.start({
  host: HOST,
  databasePort: 15666,
  dataDir: await Tandem.newDataDir(),
  workers: WORKERS,
})
t.teardown(() => tandem.destroy())

const registered = async (user: string, more = {}) => {
  const phone = await tandem.phone(user, more)
  // Nothing is asserted before the first test: tap would take it for the last.
  const { status } = await phone.register()
  if (status !== 200) throw new Error(`${user} gets ${status}`)
  return phone
}

/** A phone for one test: the next one's must not share its calls. */
const open = async (t: Test, user: string, more = {}) => {
  const phone = await registered(user, more)
  t.teardown(async () => {
    await phone.register(0)
    await phone.close()
  })
  return phone
}

const alice = await registered('alice')
t.teardown(() => alice.close())
const doors = await Doors.open(HOST, tandem.edges, WORKERS, alice)
t.teardown(() => doors.close())
const replyPort = await doors.listen()

let calls = 0

/** A call of which each message goes by the door that the test names. Its answers come to one place by UDP. */
class Call {
  readonly id = `call-${++calls}`
  readonly #target: string
  readonly #doors: readonly Door[]

  constructor(target: string, ways: readonly Door[]) {
    this.#target = target
    this.#doors = ways
  }

  send(
    method: string,
    door: number,
    options: { uri?: string; to?: string; cseq?: number; routes?: string[] } = {},
  ) {
    const { uri = this.#target, to = `<${this.#target}>`, cseq = 1, routes = [] } = options
    const way = this.#doors[door % this.#doors.length] as Door
    const isOfInvite = cseq === 1 && routes.length === 0
    way.send(
      [
        `${method} ${uri} SIP/2.0`,
        `Via: SIP/2.0/${way.transport} ${HOST}:${replyPort};branch=z9hG4bK${this.id}${isOfInvite ? '' : method}`,
        ...routes.map((route) => `Route: ${route}`),
        'Max-Forwards: 70',
        `From: <sip:caller@example.org>;tag=${this.id}`,
        `To: ${to}`,
        `Call-ID: ${this.id}`,
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:caller@${HOST}:${replyPort}>`,
        'Content-Length: 0',
        '\r\n',
      ].join('\r\n'),
    )
  }

  /** The answer of that status to a request of that method. */
  answer(status: number, method: string): Promise<string> {
    return doors.hears(
      new RegExp(
        `^SIP/2\\.0 ${status} (?=[^]*\\r\\nCall-ID: ${this.id}\\r\\n)[^]*\\r\\nCSeq: \\d+ ${method}\\r\\n`,
        'i',
      ),
    )
  }

  count(status: number): number {
    const isIt = new RegExp(`^SIP/2\\.0 ${status} [^]*\\r\\nCall-ID: ${this.id}\\r\\n`, 'i')
    return doors.heard.filter((text) => isIt.test(text)).length
  }
}

const field = (message: string, name: string) =>
  [...message.matchAll(new RegExp(`^${name}: *(.*)\\r$`, 'gim'))].map(([, value]) => value ?? '')

t.test('there is a door to every worker, by UDP and by TCP', async (t) => {
  t.equal(doors.doors.length, 2 * 2 * WORKERS)
  t.equal(new Set(doors.doors.map(({ worker }) => worker)).size, 2 * WORKERS)
})

for (const transport of ['UDP', 'TCP'] as const) {
  // Neighbours are workers of different nodes.
  const ways = doors.doors.filter((door) => door.transport === transport)
  const order = [0, WORKERS, 1, WORKERS + 1].map((i) => ways[i] as Door)

  t.test(`${transport}: INVITE, its copy, CANCEL and ACK each through another worker`, async (t) => {
    const carol = await open(t, 'carol', { ringOnly: true })
    const call = new Call(carol.aor, order)
    call.send('INVITE', 0)
    call.send('INVITE', 1)
    await call.answer(180, 'INVITE')
    call.send('CANCEL', 2)
    await call.answer(200, 'CANCEL')
    const cancelled = await call.answer(487, 'INVITE')
    call.send('ACK', 3, { to: field(cancelled, 'To')[0] ?? '' })
    const before = call.count(487)
    await pause(1_200)
    t.equal(call.count(487), before, 'it was acknowledged, and is not repeated')
    t.same(
      carol.requests.map(({ method }) => method).filter((method) => method !== 'ACK'),
      ['INVITE', 'CANCEL'],
      'the copy was known as one',
    )
  })

  t.test(`${transport}: the ACK to 486 through another worker`, async (t) => {
    const dave = await open(t, 'dave', { inviteStatus: 486 })
    const call = new Call(dave.aor, order)
    call.send('INVITE', 1)
    const busy = await call.answer(486, 'INVITE')
    call.send('ACK', 2, { to: field(busy, 'To')[0] ?? '' })
    const before = call.count(486)
    await pause(1_200)
    t.equal(call.count(486), before)
    t.equal(dave.requests.filter(({ method }) => method === 'INVITE').length, 1)
  })

  t.test(`${transport}: INVITE, ACK to 200 and BYE each through another worker`, async (t) => {
    const bob = await open(t, 'bob')
    const call = new Call(bob.aor, order)
    call.send('INVITE', 2)
    const answer = await call.answer(200, 'INVITE')
    const dialog = {
      uri: (field(answer, 'Contact')[0] ?? '').replace(/^.*<|>.*$/g, ''),
      to: field(answer, 'To')[0] ?? '',
      routes: field(answer, 'Record-Route')
        .flatMap((value) => value.split(/, */))
        .reverse(),
    }
    t.ok(dialog.routes.length > 0)
    call.send('ACK', 3, dialog)
    // Two workers keep no order between them.
    for (let i = 0; i < 1_000 && bob.requests.at(-1)?.method !== 'ACK'; i++) await pause(10)
    call.send('BYE', 0, { ...dialog, cseq: 2 })
    await call.answer(200, 'BYE')
    t.same(
      bob.requests.map(({ method }) => method),
      ['INVITE', 'ACK', 'BYE'],
    )
  })
}

t.test('nobody complains', async (t) => {
  t.notMatch(tandem.output, / (?:ERROR|FATAL) /)
})

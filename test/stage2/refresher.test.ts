import { pino } from 'pino'
import t from 'tap'
import { type BindingRow, writeBindings } from '../../db/binding-store.ts'
import type { Database } from '../../db/database.ts'
import { addSubscriber } from '../../db/subscriber-store.ts'
import { slotOf } from '../../src/partition/slot.ts'
import { parseUri } from '../../src/sip/uri.ts'
import { aorOf, Directory } from '../../stage2/directory.ts'
import { Location } from '../../stage2/location.ts'
import { Refresher } from '../../stage2/refresher.ts'
import { binding, change } from '../support/cluster.ts'
import { testServer } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { settled } from '../support/fake-transport.ts'

const server = await testServer(t)
const INTERVAL_MS = 1000
const ALL = [{ first: 0, last: 16_383 }]
const HOME = 'sip:bob@192.0.2.1'
const BOB = { aor: 'bob@example.com', slot: slotOf('bob') }

/** A member's memory before a database of its own. */
class Warm {
  readonly clock = new FakeClock(Date.now())
  readonly location = new Location()
  readonly directory: Directory
  readonly refresher: Refresher
  readonly lines: string[] = []
  readonly db: Database
  readonly edit: (text: string) => Promise<object[]>
  /** Whether memory has what PostgreSQL lacks. */
  isAhead = () => false
  readonly troubles: (string | undefined)[] = []
  /** How often a user was looked for one by one. */
  lookedUp = 0

  private constructor(db: Database, edit: (text: string) => Promise<object[]>) {
    this.db = db
    this.edit = edit
    this.directory = new Directory(async () => {
      this.lookedUp++
      return undefined
    })
    const { clock, location, directory } = this
    const log = pino({ base: null, timestamp: false }, { write: (line) => void this.lines.push(line) })
    this.refresher = new Refresher({
      db,
      directory,
      location,
      clock,
      log,
      intervalMs: INTERVAL_MS,
      isAhead: () => this.isAhead(),
      onTrouble: (reason) => this.troubles.push(reason),
    })
  }

  static async start(): Promise<Warm> {
    const url = await server.createDatabase()
    const edit = (text: string) => server.sql<object>(url, text)
    await edit(`insert into tandem.domain (name) values ('example.com')`)
    return new Warm(await server.open(url), edit)
  }

  add(user: string) {
    return addSubscriber(this.db, 'example.com', user, { ha1Md5: null, ha1Sha256: null, ha1Sha512256: null })
  }

  write(...rows: BindingRow[]) {
    return writeBindings(this.db, rows)
  }

  contacts(): string[] {
    return this.location.find(BOB.aor, this.clock.now()).map(({ contact }) => contact)
  }

  async knows(user: string): Promise<boolean> {
    const uri = parseUri(`sip:${user}@example.com`)
    return uri !== undefined && (await this.directory.find(aorOf(uri))) !== undefined
  }

  async stop(): Promise<void> {
    await this.refresher.stop()
    this.directory.close()
  }
}

t.test('load brings the users and the live bindings of its slots, and no others', async (t) => {
  const warm = await Warm.start()
  const now = warm.clock.now()
  await warm.add('bob')
  await warm.add('alice')
  await warm.write(
    change(HOME, now, BOB),
    change('sip:bob@192.0.2.2', now, { ...BOB, deleted: true }),
    change('sip:bob@192.0.2.3', now, { ...BOB, expiresAt: now - 1000 }),
    change('sip:alice@192.0.2.4', now, { aor: 'alice@example.com', slot: slotOf('alice') }),
  )
  await warm.refresher.load([{ first: BOB.slot, last: BOB.slot }])
  t.strictSame(warm.contacts(), [HOME])
  t.equal(warm.location.size, 1)
  t.equal(warm.directory.size, 1)
  t.equal(await warm.knows('bob'), true)
  t.equal(warm.lookedUp, 0, 'one by one nobody was asked for')
  t.match(warm.lines[0], /loaded 1 subscribers and the bindings of 1 AORs/)
  await warm.stop()
})

t.test('a refresh brings what others have written, and what a DBA has done', async (t) => {
  const warm = await Warm.start()
  const now = warm.clock.now()
  await warm.add('alice')
  await warm.refresher.load(ALL)
  await warm.write(change(HOME, now, BOB))
  await warm.add('bob')
  t.strictSame(warm.contacts(), [])
  await warm.refresher.refresh()
  t.strictSame(warm.contacts(), [HOME])
  t.equal(await warm.knows('bob'), true)

  await warm.edit(`delete from tandem.binding`)
  await warm.edit(`update tandem.subscriber set enabled = false where username = 'bob'`)
  await warm.edit(`delete from tandem.subscriber where username = 'alice'`)
  await warm.refresher.refresh()
  t.strictSame(warm.contacts(), [])
  t.equal(await warm.knows('alice'), false)
  const uri = parseUri('sip:bob@example.com')
  t.equal(uri && (await warm.directory.find(aorOf(uri)))?.enabled, false)
  await warm.stop()
})

t.test('a refresh does not undo what waits for its commit', async (t) => {
  const warm = await Warm.start()
  const now = warm.clock.now()
  await warm.refresher.load(ALL)
  await warm.write(change(HOME, now, { ...BOB, q: 100 }))
  const mine = change(HOME, now, { ...BOB, q: 200, changedAt: now + 1 })
  warm.location.put(mine)
  await warm.refresher.refresh()
  t.equal(warm.location.find(BOB.aor, now)[0]?.q, 200)
  const { rev } = await warm.write(mine)
  warm.location.settle(mine, { ...mine, rev })
  await warm.refresher.refresh()
  t.equal(warm.location.find(BOB.aor, now)[0]?.q, 200)
  t.equal(warm.location.pending, 0)
  await warm.stop()
})

t.test('it refreshes at every interval until it is stopped', async (t) => {
  const warm = await Warm.start()
  await warm.refresher.load(ALL)
  warm.refresher.start()
  await warm.write(change(HOME, warm.clock.now(), BOB))
  warm.clock.advance(INTERVAL_MS - 1)
  await settled()
  t.strictSame(warm.contacts(), [])
  warm.clock.advance(1)
  t.equal(warm.clock.pending, 1, 'and the next one is due')
  await warm.stop()
  t.strictSame(warm.contacts(), [HOME], 'to stop is to wait for what is under way')
  t.equal(warm.clock.pending, 0)
})

t.test('what ended a minute ago is forgotten', async (t) => {
  const warm = await Warm.start()
  await warm.refresher.load(ALL)
  warm.location.adopt(binding(HOME, warm.clock.now(), { expiresAt: warm.clock.now() }))
  warm.refresher.start()
  warm.clock.advance(60_000)
  t.equal(warm.location.size, 1)
  warm.clock.advance(INTERVAL_MS)
  t.equal(warm.location.size, 0)
  await warm.stop()
})

t.test('who asks while a refresh is under way gets one that begins after it', async (t) => {
  const warm = await Warm.start()
  await warm.refresher.load(ALL)
  const first = warm.refresher.refresh()
  await warm.write(change(HOME, warm.clock.now(), BOB))
  await Promise.all([first, warm.refresher.refresh(), warm.refresher.refresh()])
  t.strictSame(warm.contacts(), [HOME])
  await warm.stop()
})

t.test('PostgreSQL away: memory stays, it is said once, and so is its return', async (t) => {
  const warm = await Warm.start()
  await warm.write(change(HOME, warm.clock.now(), BOB))
  await warm.refresher.load(ALL)
  warm.lines.length = 0
  await warm.edit('alter function tandem.refresh_point() rename to away')
  await t.rejects(warm.refresher.refresh())
  await t.rejects(warm.refresher.refresh())
  t.strictSame(warm.contacts(), [HOME])
  t.equal(warm.lines.length, 1)
  t.match(warm.lines[0], /serving from memory/)
  await warm.edit('alter function tandem.away() rename to refresh_point')
  await warm.write(change('sip:bob@192.0.2.2', warm.clock.now(), { ...BOB, q: 1 }))
  await warm.refresher.refresh()
  t.strictSame(warm.contacts(), [HOME, 'sip:bob@192.0.2.2'], 'and nothing is missed')
  t.match(warm.lines[1], /works again/)
  await warm.stop()
})

t.test('while memory is ahead of PostgreSQL, bindings stay as they are, and users do not', async (t) => {
  const warm = await Warm.start()
  await warm.refresher.load(ALL)
  const spooled = change(HOME, warm.clock.now(), { ...BOB, q: 900 })
  warm.location.put(spooled)
  warm.location.keep(spooled)
  let looks = 0
  // It went to the spool while the refresh was under way.
  warm.isAhead = () => ++looks > 1
  await warm.write(change(HOME, warm.clock.now() - 1, { ...BOB, q: 100 }))
  await warm.add('bob')
  await warm.refresher.refresh()
  t.equal(warm.location.find(BOB.aor, warm.clock.now())[0]?.q, 900)
  t.equal(await warm.knows('bob'), true)
  warm.isAhead = () => true
  await warm.refresher.refresh()
  t.equal(warm.location.find(BOB.aor, warm.clock.now())[0]?.q, 900)
  await warm.write(spooled)
  warm.isAhead = () => false
  await warm.refresher.refresh()
  t.match(warm.location.rows(BOB.aor), [{ q: 900 }])
  t.ok((warm.location.rows(BOB.aor)[0]?.rev ?? 0) > 0, 'what was missed meanwhile is not missing')
  await warm.stop()
})

t.test(
  'from a snapshot it goes on with what has changed since; from an unusable one it starts over',
  async (t) => {
    const warm = await Warm.start()
    await warm.add('alice')
    await warm.write(change(HOME, warm.clock.now(), BOB))
    await warm.refresher.load(ALL)
    const { position } = warm.refresher
    await warm.write(change(HOME, warm.clock.now() + 1, { ...BOB, cseq: 2, deleted: true }))
    warm.refresher.resume(position, 1, ALL)
    t.equal(warm.refresher.freshAt, 1)
    await warm.refresher.refresh()
    t.strictSame(warm.contacts(), [])
    t.equal(warm.refresher.freshAt, warm.clock.now())
    t.strictSame(warm.troubles, [undefined], 'until then it counted as failing')

    warm.location.adopt(binding('sip:bob@192.0.2.9', warm.clock.now(), { ...BOB, rev: 1 }))
    await warm.write(change('sip:bob@192.0.2.2', warm.clock.now(), BOB))
    warm.refresher.resume(0, 1, ALL)
    await warm.refresher.refresh()
    t.strictSame(warm.contacts(), ['sip:bob@192.0.2.2'], 'what left no trace is gone')
    t.equal(await warm.knows('alice'), true)
    await warm.stop()
  },
)

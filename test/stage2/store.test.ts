import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { ALL_CONTACTS, type BindingRow, findBindings, writeBindings } from '../../db/binding-store.ts'
import { Database } from '../../db/database.ts'
import { addSubscriber } from '../../db/subscriber-store.ts'
import { loadConfig } from '../../src/ops/config.ts'
import { slotOf } from '../../src/partition/slot.ts'
import { Store } from '../../stage2/store.ts'
import { change } from '../support/cluster.ts'
import { silent, testFolder, testServer } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { Relay } from '../support/relay.ts'

const server = await testServer(t)
const folder = await testFolder(t)
const ALL = [{ first: 0, last: 16_383 }]
const BOB = { aor: 'bob@example.com', slot: slotOf('bob') }
const contact = (n: number) => `sip:bob@192.0.2.${n}`

/** A member's store before a database of its own, from which it can be cut off; and the processes that come after it. */
class Bench {
  readonly clock = new FakeClock(Date.now())
  readonly db: Database
  readonly #url: URL
  readonly stateDir: string
  #isCut = false
  #relay: Relay | undefined
  #end: (() => Promise<void>) | undefined

  private constructor(t: Test, db: Database, url: URL, stateDir: string) {
    this.db = db
    this.#url = url
    this.stateDir = stateDir
    t.teardown(() => this.#end?.())
  }

  static async open(t: Test): Promise<Bench> {
    const url = await server.createDatabase()
    await server.sql(url, `insert into tandem.domain (name) values ('example.com')`)
    return new Bench(t, await server.open(url), new URL(url), await mkdtemp(join(folder, 'state-')))
  }

  get spool(): string {
    return join(this.stateDir, 'a1.spool')
  }

  get hasSnapshot(): Promise<boolean> {
    return stat(join(this.stateDir, 'a1.bindings')).then(
      () => true,
      () => false,
    )
  }

  /** The next process of the member; the one before it is gone. */
  async process(): Promise<Store> {
    await this.#end?.()
    const relay = await Relay.open({ host: this.#url.hostname, port: Number(this.#url.port) })
    this.#relay = relay
    if (this.#isCut) relay.cut()
    const url = new URL(this.#url)
    url.host = `127.0.0.1:${relay.port}`
    const config = loadConfig({
      env: { TANDEM_NODE: 'a1', TANDEM_STATE_DIR: this.stateDir, TANDEM_DATABASE_URL: url.href },
    })
    const db = new Database({ url: url.href, node: 'a1', connectTimeoutMs: 1_000 }, silent)
    const log = pino({ level: 'silent' })
    const opened = Store.open({ db, config, clock: this.clock, log, onHealth: () => {} })
    this.#end = async () => {
      this.#end = undefined
      // What it still waits for fails at once.
      await relay.close()
      await opened.then((store) => store.close()).catch(() => {})
      await db.close()
    }
    return opened
  }

  cut(): void {
    this.#isCut = true
    this.#relay?.cut()
  }

  mend(): void {
    this.#isCut = false
    this.#relay?.mend()
  }

  row(n: number, more: Partial<BindingRow> = {}): BindingRow {
    return change(contact(n), this.clock.now(), { ...BOB, callId: 'c', cseq: n, ...more })
  }

  /** As the registrar does it. */
  register(store: Store, ...rows: BindingRow[]): Promise<string> {
    for (const row of rows) store.location.put(row)
    return new Promise((resolve) =>
      store.commits.add({
        rows,
        committed: ({ rev }) => {
          for (const row of rows) store.location.settle(row, { ...row, rev })
          resolve('committed')
        },
        spooled: () => {
          for (const row of rows) store.location.keep(row)
          resolve('spooled')
        },
        failed: (error) => resolve(String(error)),
      }),
    )
  }

  /** Lets time pass until that is so. */
  async until(isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < 6_000; turn++) {
      if (await isSo()) return
      this.clock.advance(20)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    throw new Error('it never came about')
  }

  async finish<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const end = () => {
      isOver = true
    }
    work.then(end, end)
    await this.until(() => isOver)
    return work
  }

  contacts(store: Store): string[] {
    return store.location
      .find(BOB.aor, this.clock.now())
      .map((row) => row.contact)
      .sort()
  }

  async stored(): Promise<string[]> {
    const rows = await findBindings(this.db, BOB.slot, BOB.aor)
    return rows
      .filter(({ deleted }) => !deleted)
      .map((row) => row.contact)
      .sort()
  }
}

t.test('a member killed while PostgreSQL is away comes back with all that was acknowledged', async (t) => {
  const bench = await Bench.open(t)
  await addSubscriber(bench.db, 'example.com', 'bob', {
    ha1Md5: 'f'.repeat(32),
    ha1Sha256: null,
    ha1Sha512256: null,
  })
  await writeBindings(bench.db, [bench.row(1)])
  const first = await bench.process()
  await first.load(ALL)
  first.start()
  await bench.until(() => bench.hasSnapshot)
  t.equal(await bench.finish(bench.register(first, bench.row(2))), 'committed')
  bench.cut()
  const moved = [bench.row(3), bench.row(1, { cseq: 3, deleted: true })]
  t.equal(await bench.finish(bench.register(first, ...moved)), 'spooled')
  t.match(first.health.reason, /they go to the spool/)
  t.strictSame(bench.contacts(first), [contact(2), contact(3)])

  const second = await bench.process()
  await bench.finish(second.load(ALL))
  second.start()
  t.match(second.health.reason, /PostgreSQL is away: serving from a snapshot that is \d+ s old/)
  t.ok(bench.contacts(second).includes(contact(3)), 'spooled')
  t.notOk(bench.contacts(second).includes(contact(1)), 'removed by what was spooled')
  t.equal(second.directory.size, 1)
  t.equal(await bench.finish(bench.register(second, bench.row(4))), 'spooled')

  bench.mend()
  await bench.until(() => second.health.reason === undefined && bench.contacts(second).length === 3)
  t.strictSame(
    bench.contacts(second),
    [contact(2), contact(3), contact(4)],
    'also what the snapshot was too old for',
  )
  t.strictSame(await bench.stored(), [contact(2), contact(3), contact(4)])
})

t.test('what others removed since the snapshot goes when PostgreSQL is back', async (t) => {
  const bench = await Bench.open(t)
  await writeBindings(bench.db, [bench.row(1), bench.row(2)])
  const first = await bench.process()
  await first.load(ALL)
  first.start()
  await bench.until(() => bench.hasSnapshot)
  await writeBindings(bench.db, [bench.row(1, { cseq: 9, deleted: true })])
  bench.cut()
  const second = await bench.process()
  await bench.finish(second.load(ALL))
  second.start()
  t.strictSame(bench.contacts(second), [contact(1), contact(2)])
  bench.mend()
  await bench.until(() => second.health.reason === undefined)
  t.strictSame(bench.contacts(second), [contact(2)])
})

t.test(
  'a spool is in PostgreSQL before memory is loaded, except for what is older than what is there',
  async (t) => {
    const bench = await Bench.open(t)
    const first = await bench.process()
    await first.load(ALL)
    bench.cut()
    const longAgo = bench.clock.now() - 1
    const spooled = [bench.row(1), bench.row(2), bench.row(3, { callId: 'other' })]
    t.equal(await bench.finish(bench.register(first, ...spooled)), 'spooled')
    await writeBindings(bench.db, [
      bench.row(1, { cseq: 8, deleted: true }),
      bench.row(0, {
        key: ALL_CONTACTS,
        callId: 'other',
        cseq: 4,
        deleted: true,
        changedAt: longAgo,
      }),
    ])
    bench.mend()
    const second = await bench.process()
    await second.load(ALL)
    t.strictSame(bench.contacts(second), [contact(2)])
    t.equal(second.health.reason, undefined)
  },
)

t.test('without PostgreSQL and without a snapshot there is nothing to serve from', async (t) => {
  const bench = await Bench.open(t)
  bench.cut()
  const store = await bench.process()
  await t.rejects(bench.finish(store.load(ALL)), { code: 'DATABASE_UNREACHABLE' })
})

t.test('a folder that takes no spool is said before it is needed', async (t) => {
  const bench = await Bench.open(t)
  const store = await bench.process()
  await store.load(ALL)
  await rm(bench.stateDir, { recursive: true })
  await writeFile(bench.stateDir, 'in its place')
  store.start()
  await bench.until(() => store.health.reason !== undefined)
  t.match(store.health.reason, /^there is no spool: .*(EEXIST|ENOTDIR)/)
  await rm(bench.stateDir)
  await bench.until(() => store.health.reason === undefined)
})

t.test('a spool that cannot be opened is said, for it may hold registrations', async (t) => {
  const bench = await Bench.open(t)
  await mkdir(bench.spool)
  await t.rejects(bench.process(), { code: 'SPOOL_UNREADABLE', message: /a1\.spool cannot be opened/ })
})

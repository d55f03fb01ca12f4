import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { BindingRow, WriteResult } from '../../db/binding-store.ts'
import { BindingWriter, NotDurable } from '../../stage2/binding-writer.ts'
import { Spool } from '../../stage2/spool.ts'
import { change } from '../support/cluster.ts'
import { testFolder } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'

const PATIENCE_MS = 1_000
const log = pino({ level: 'silent' })
const folder = await testFolder(t)
let files = 0

/** The spool is on a real disk, which takes its time. */
const turnOfDisk = () => new Promise((resolve) => setImmediate(resolve))

const row = (n: number): BindingRow => change(`sip:bob@192.0.2.${n}`, 0)

interface Statement {
  readonly text: string
  commit(result?: Partial<WriteResult>): void
  fail(): void
}

/** Of a disk that others use, too. */
const LIMIT_MS = 20_000

/** A writer before a database that answers when told to, and a spool on a real disk. */
class Bench {
  readonly clock = new FakeClock()
  readonly statements: Statement[] = []
  readonly states: string[] = []
  readonly writer: BindingWriter
  readonly spool: Spool

  private constructor(spool: Spool) {
    this.spool = spool
    const statement = <T>(text: string, result: T) =>
      new Promise<T>((resolve, reject) => {
        const commit = (more = {}) => resolve({ ...result, ...more })
        this.statements.push({ text, commit, fail: () => reject(new Error('gone')) })
      })
    this.writer = new BindingWriter({
      write: (rows, late) => {
        const numbers = rows.map(({ contact }) => contact.slice(16))
        return statement(`${late ? 'late ' : ''}${numbers}`, { rev: 1, newer: [], failed: [] } as WriteResult)
      },
      ping: () => statement('ping', {}),
      spool,
      patienceMs: PATIENCE_MS,
      clock: this.clock,
      log,
      onChange: (state, reason) => this.states.push(reason === '' ? state : `${state}: ${reason}`),
    })
  }

  static async open(t: Test, maxBytes = 1_000_000, path = join(folder, `${++files}.spool`)): Promise<Bench> {
    const bench = new Bench(await Spool.open({ path, maxBytes, log }))
    t.teardown(async () => {
      const stopped = bench.writer.stop()
      for (const { fail } of bench.statements) fail()
      await stopped
      await bench.spool.close()
    })
    return bench
  }

  write(...numbers: number[]): Promise<unknown> {
    return this.writer.write(numbers.map(row)).catch((error: unknown) => error)
  }

  /** The next statement, as soon as it comes; time goes on if nothing else does. */
  async statement(): Promise<Statement> {
    const giveUpMs = performance.now() + LIMIT_MS
    for (let turn = 0; this.statements.length === 0 && performance.now() < giveUpMs; turn++) {
      if (turn % 20 === 19) this.clock.advance(100)
      await turnOfDisk()
    }
    const [next] = this.statements.splice(0, 1)
    if (!next) throw new Error('no statement came')
    return next
  }

  async settles(state: string): Promise<void> {
    const giveUpMs = performance.now() + LIMIT_MS
    while (this.writer.state !== state && performance.now() < giveUpMs) await turnOfDisk()
  }
}

t.test('PostgreSQL gets what is written, and its answer comes back', async (t) => {
  const bench = await Bench.open(t)
  const written = bench.write(1, 2)
  const statement = await bench.statement()
  t.equal(statement.text, '1,2')
  statement.commit({ rev: 7 })
  t.match(await written, { rev: 7 })
  t.equal(bench.clock.pending, 0)
  t.strictSame(bench.states, [])
})

t.test(
  'what it fails to take is spooled, in flight or later, and drains in order when it is back',
  async (t) => {
    const bench = await Bench.open(t)
    const first = bench.write(1)
    ;(await bench.statement()).fail()
    t.equal(await first, 'spooled')
    t.equal(bench.writer.isAhead, true)
    t.equal(await bench.write(2), 'spooled', 'it is not asked for every batch')
    const drained = await bench.statement()
    t.equal(drained.text, 'late 1,2')
    drained.fail()
    const again = await bench.statement()
    t.equal(again.text, 'late 1,2')
    again.commit()
    await bench.settles('direct')
    t.equal(bench.writer.isAhead, false)
    t.strictSame(bench.states, ['spooling: gone', 'draining', 'direct'])
    const direct = bench.write(3)
    ;(await bench.statement()).commit()
    t.match(await direct, { rev: 1 })
  },
)

t.test('it has a second to answer; what it does then is done once more, and harms nothing', async (t) => {
  const bench = await Bench.open(t)
  const written = bench.write(1)
  const late = await bench.statement()
  bench.clock.advance(PATIENCE_MS)
  t.equal(await written, 'spooled')
  t.match(bench.states, [/spooling: PostgreSQL does not answer within 1000 ms/])
  late.commit()
  const drained = await bench.statement()
  t.equal(drained.text, 'late 1')
  drained.commit()
  await bench.settles('direct')
})

t.test('while the spool drains, what is new goes past it', async (t) => {
  const bench = await Bench.open(t)
  const filling = Array.from({ length: 300 }, (_, n) => n)
  const first = bench.write(...filling.slice(0, 200))
  ;(await bench.statement()).fail()
  await first
  await bench.write(...filling.slice(200))
  const one = await bench.statement()
  t.equal(one.text.split(',').length, 200, 'a statement has 250 rows at most')
  one.commit()
  const two = await bench.statement()
  t.equal(bench.writer.state, 'draining')
  const past = bench.write(999)
  const direct = await bench.statement()
  t.equal(direct.text, '999')
  direct.commit()
  t.match(await past, { rev: 1 })
  two.commit()
  await bench.settles('direct')
})

t.test(
  'where the spool takes nothing either, nothing is acknowledged, until PostgreSQL is back',
  async (t) => {
    const bench = await Bench.open(t, 600)
    const first = bench.write(1)
    ;(await bench.statement()).fail()
    await first
    t.type(await bench.write(2, 3, 4, 5), NotDurable)
    t.match(bench.states.at(-1), /^refusing: the spool has its 600 bytes/)
    ;(await bench.statement()).commit()
    await bench.settles('direct')
    t.strictSame(bench.states.slice(2).at(-1), 'direct')
  },
)

t.test('PostgreSQL away and the disk full from the start: its return is noticed', async (t) => {
  const bench = await Bench.open(t, 100)
  const first = bench.write(1)
  ;(await bench.statement()).fail()
  t.type(await first, NotDurable)
  const ping = await bench.statement()
  t.equal(ping.text, 'ping')
  ping.fail()
  ;(await bench.statement()).commit()
  await bench.settles('direct')
  const direct = bench.write(2)
  ;(await bench.statement()).commit()
  t.match(await direct, { rev: 1 })
})

t.test('a member drains what the one before it has left', async (t) => {
  const path = join(folder, 'left.spool')
  const before = await Bench.open(t, undefined, path)
  const written = before.write(1)
  ;(await before.statement()).fail()
  await written
  const bench = await Bench.open(t, undefined, path)
  const drained = bench.writer.drain()
  ;(await bench.statement()).commit()
  await drained
  t.equal(bench.writer.isAhead, false)

  t.equal(bench.spool.isEmpty, true)
  await bench.writer.drain()
  t.strictSame(bench.statements, [], 'nothing is left to do')
})

t.test('a row that PostgreSQL cannot hold does not stop the others', async (t) => {
  const bench = await Bench.open(t)
  const written = bench.write(1, 2)
  ;(await bench.statement()).fail()
  await written
  ;(await bench.statement()).commit({ failed: [{ row: row(1), error: new Error('no') }] })
  await bench.settles('direct')
  t.equal(bench.spool.isEmpty, true)
})

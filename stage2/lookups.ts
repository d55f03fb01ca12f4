import { TandemError } from '../src/ops/errors.ts'
import type { Aor } from './directory.ts'

/** AORs in one query. */
const BATCH = 250
/** AORs that wait at most; who asks for more is told that nobody knows. */
const MAX_WAITING = 2_000

interface Asked<Row> {
  readonly aor: Aor
  answer(rows: readonly Row[]): void
  fail(error: unknown): void
}

/**
 * Looks for AORs in PostgreSQL of which memory knows nothing: one query is in flight at a time, and what is asked for meanwhile goes
 * with the next. So whoever asks for a million users that do not exist takes one connection, and not those that registrations
 * are written through.
 */
export class Lookups<Row> {
  readonly #read: (aors: readonly Aor[]) => Promise<readonly Row[]>
  readonly #aorOf: (row: Row) => string
  readonly #waiting = new Map<string, Asked<Row>[]>()
  #running = false

  /** `aorOf`: whose a row is, as `Aor.key`. */
  constructor(read: (aors: readonly Aor[]) => Promise<readonly Row[]>, aorOf: (row: Row) => string) {
    this.#read = read
    this.#aorOf = aorOf
  }

  /** @throws what reading throws; TandemError DATABASE_UNREACHABLE when too many wait */
  find(aor: Aor): Promise<readonly Row[]> {
    return new Promise((answer, fail) => {
      const asked = this.#waiting.get(aor.key)
      if (asked) return void asked.push({ aor, answer, fail })
      if (this.#waiting.size >= MAX_WAITING)
        return fail(new TandemError('DATABASE_UNREACHABLE', 'too many users are looked for in PostgreSQL'))
      this.#waiting.set(aor.key, [{ aor, answer, fail }])
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    // What the rest of this turn asks for joins the first query.
    await Promise.resolve()
    while (this.#waiting.size > 0) await this.#readBatch(this.#nextBatch())
    this.#running = false
  }

  #nextBatch(): Asked<Row>[][] {
    const batch: Asked<Row>[][] = []
    for (const [key, asked] of this.#waiting) {
      if (batch.length === BATCH) break
      batch.push(asked)
      this.#waiting.delete(key)
    }
    return batch
  }

  async #readBatch(batch: readonly Asked<Row>[][]): Promise<void> {
    const all = batch.flat()
    try {
      const rows = new Map<string, Row[]>()
      for (const row of await this.#read(batch.flatMap(([first]) => (first ? [first.aor] : [])))) {
        const key = this.#aorOf(row)
        rows.set(key, [...(rows.get(key) ?? []), row])
      }
      for (const { aor, answer } of all) answer(rows.get(aor.key) ?? [])
    } catch (error) {
      for (const { fail } of all) fail(error)
    }
  }
}

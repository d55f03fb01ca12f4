import type { BindingRow } from '../db/binding-store.ts'

/** `rev` of a row that PostgreSQL has not numbered. */
export const UNNUMBERED = 0

/** Whether a row is a binding: neither removed nor expired. */
export const isLive = (row: BindingRow, nowMs: number): boolean => !row.deleted && row.expiresAt > nowMs

/** How many AORs one {@link Location.sweep} looks at: about a millisecond's work. */
const SWEEP = 2000

/**
 * The location service: the bindings of this group's users, in memory. A change that was made here counts at once; until
 * it is committed, what PostgreSQL has in its place is kept beside it, for the case that it never will be.
 */
export class Location {
  #bindings = new Map<string, readonly BindingRow[]>()
  /** Of each row that waits for its commit: the newest that PostgreSQL is known to have, `undefined` for none. */
  #durable = new Map<string, BindingRow | undefined>()
  #sweeping: Iterator<[string, readonly BindingRow[]]> | undefined

  /** AORs with at least one row, expired ones included until they are swept. */
  get size(): number {
    return this.#bindings.size
  }

  /** Rows that wait for their commit. */
  get pending(): number {
    return this.#durable.size
  }

  /** Forgets what is in these slots and durable, without stopping the event loop for long. */
  async forget(isLost: (slot: number) => boolean): Promise<void> {
    let looked = 0
    for (const [aor, rows] of this.#bindings) {
      if (rows.some(({ slot }) => isLost(slot)) && !rows.some((row) => this.#durable.has(idOf(row)))) {
        this.#bindings.delete(aor)
      }
      if (++looked % SWEEP === 0) await new Promise(setImmediate)
    }
  }

  /** The live bindings of an AOR (`user@domain`), the preferred first, then the newest. */
  find(aor: string, nowMs: number): BindingRow[] {
    return this.rows(aor)
      .filter((row) => isLive(row, nowMs))
      .sort((a, b) => b.q - a.q || b.expiresAt - a.expiresAt)
  }

  /** All rows of an AOR, expired and removed ones too. */
  rows(aor: string): readonly BindingRow[] {
    return this.#bindings.get(aor) ?? []
  }

  /**
   * All rows in batches, expired and removed ones too: what is there from the beginning to the end comes exactly once.
   * Between two batches the event loop turns.
   */
  async *all(): AsyncGenerator<readonly BindingRow[], void, void> {
    let batch: BindingRow[] = []
    for (const rows of this.#bindings.values()) {
      batch.push(...rows)
      if (batch.length < SWEEP) continue
      yield batch
      batch = []
      await new Promise(setImmediate)
    }
    yield batch
  }

  /** Takes over a change made here, which now waits until it is settled, reverted or kept. */
  put(row: BindingRow): void {
    const id = idOf(row)
    if (!this.#durable.has(id)) this.#durable.set(id, this.#current(row))
    this.#set(row)
  }

  /** Takes over a row as PostgreSQL has it, unless this memory is ahead of it. */
  adopt(row: BindingRow): void {
    const id = idOf(row)
    const isWaiting = this.#durable.has(id)
    const known = isWaiting ? this.#durable.get(id) : this.#current(row)
    if (known && known.rev >= row.rev) return
    if (isWaiting) this.#durable.set(id, row)
    else this.#set(row)
  }

  /** PostgreSQL has `durable` in the place of a change: the change with its number, or what was newer than it. */
  settle(change: BindingRow, durable: BindingRow): void {
    const id = idOf(change)
    const known = this.#durable.get(id)
    const newest = known && known.rev > durable.rev ? known : durable
    if (this.#isLatest(change)) {
      this.#durable.delete(id)
      this.#set(newest)
    } else if (this.#durable.has(id)) this.#durable.set(id, newest)
  }

  /** A change could not be written: what PostgreSQL has counts again, unless a later change waits. */
  revert(change: BindingRow): void {
    if (!this.#isLatest(change)) return
    const id = idOf(change)
    const durable = this.#durable.get(id)
    this.#durable.delete(id)
    if (durable) this.#set(durable)
    else this.#drop(change)
  }

  /** A change could not be written, and counts all the same until PostgreSQL brings something else. */
  keep(change: BindingRow): void {
    if (this.#isLatest(change)) this.#durable.delete(idOf(change))
  }

  /** Forgets rows that ended before `beforeMs`, a bounded number of AORs at each call. */
  sweep(beforeMs: number): void {
    this.#sweeping ??= this.#bindings.entries()
    for (let i = 0; i < SWEEP; i++) {
      const next = this.#sweeping.next()
      if (next.done) {
        this.#sweeping = undefined
        return
      }
      const [, rows] = next.value
      for (const row of rows) if (row.expiresAt < beforeMs && !this.#durable.has(idOf(row))) this.#drop(row)
    }
  }

  #current({ aor, key }: BindingRow): BindingRow | undefined {
    return this.rows(aor).find((row) => row.key === key)
  }

  /** Whether no later change was made of the same binding. */
  #isLatest(change: BindingRow): boolean {
    return this.#current(change) === change
  }

  #set(row: BindingRow): void {
    const others = this.rows(row.aor).filter(({ key }) => key !== row.key)
    this.#bindings.set(row.aor, [...others, row])
  }

  #drop(row: BindingRow): void {
    const others = this.rows(row.aor).filter(({ key }) => key !== row.key)
    if (others.length > 0) this.#bindings.set(row.aor, others)
    else this.#bindings.delete(row.aor)
  }
}

const idOf = ({ aor, key }: BindingRow): string => `${aor}\n${key}`

import type { BindingRow } from '../db/binding-store.ts'

/** `rev` of a row that waits for its commit. */
export const PENDING = 0

/** Whether a row is a binding: neither removed nor expired. */
export const isLive = (row: BindingRow, nowMs: number): boolean => !row.deleted && row.expiresAt > nowMs

/** How many AORs one {@link Location.sweep} looks at: about a millisecond's work. */
const SWEEP = 2000

/**
 * The location service: the bindings of this group's users, in memory. A row that was changed here and is not yet in
 * PostgreSQL has no `rev`; it is newer than anything a refresh may bring.
 */
export class Location {
  #bindings = new Map<string, readonly BindingRow[]>()
  #sweeping: Iterator<[string, readonly BindingRow[]]> | undefined

  /** AORs with at least one row, expired ones included until they are swept. */
  get size(): number {
    return this.#bindings.size
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

  /** Takes over a row, whatever was there. */
  put(row: BindingRow): void {
    const others = this.rows(row.aor).filter(({ key }) => key !== row.key)
    this.#bindings.set(row.aor, [...others, row])
  }

  /** Takes over a row as PostgreSQL has it, unless this memory is ahead of it. */
  adopt(row: BindingRow): void {
    const mine = this.#current(row)
    if (mine && (mine.rev === PENDING || mine.rev >= row.rev)) return
    this.put(row)
  }

  /** A row that waited for its commit has its change number now. A newer change of it goes on waiting. */
  settle(row: BindingRow, rev: number): void {
    if (this.#current(row) === row) this.put({ ...row, rev })
  }

  /** A row could not be written: what was there `before` counts again, unless it has been changed since. */
  revert(row: BindingRow, before: readonly BindingRow[]): void {
    if (this.#current(row) !== row) return
    const old = before.find(({ key }) => key === row.key)
    if (old) this.put(old)
    else this.drop(row)
  }

  #current({ aor, key }: BindingRow): BindingRow | undefined {
    return this.rows(aor).find((row) => row.key === key)
  }

  /** Forgets a row altogether. */
  drop(row: BindingRow): void {
    const others = this.rows(row.aor).filter(({ key }) => key !== row.key)
    if (others.length > 0) this.#bindings.set(row.aor, others)
    else this.#bindings.delete(row.aor)
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
      for (const row of rows) if (row.expiresAt < beforeMs && row.rev !== PENDING) this.drop(row)
    }
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BindingRow } from '../db/binding-store.ts'
import { PackedBindings } from './memory/packed-bindings.ts'
import { PackedTable, type PackedTableOptions, type Place } from './memory/packed-table.ts'

/** `rev` of a row that PostgreSQL has not numbered. */
export const UNNUMBERED = 0

/** Whether a row is a binding: neither removed nor expired. */
export const isLive = (row: BindingRow, nowMs: number): boolean => !row.deleted && row.expiresAt > nowMs

/** How many AORs one {@link Location.sweep} forgets at most: a millisecond's work or two. */
const SWEPT = 2000
/** How many parts of the table, of some 500 AORs each, it looks at. */
const PARTS = 8

/** Rows of an AOR; when there are more, of those that have ended the oldest change is forgotten. */
const MAX_ROWS = 100

/** A change that was made here and waits for its commit. */
interface Waiting {
  /** The last of them, if there were more of the same binding. */
  latest: BindingRow
  /** What PostgreSQL is known to have instead, `undefined` for nothing. */
  durable: BindingRow | undefined
}

/**
 * The location service: the bindings of this group's users, in memory. A change that was made here counts at once; until
 * it is committed, what PostgreSQL has in its place is kept beside it, for the case that it never will be.
 *
 * All rows of an AOR are one record of a {@link PackedTable}, outside V8's heap; a row is an object only in the hands of
 * who asked for it. No call takes longer for there being more AORs.
 */
export class Location {
  readonly #table: PackedTable
  readonly #packed = new PackedBindings()
  readonly #waiting = new Map<string, Waiting>()
  #scratch = Buffer.allocUnsafeSlow(8192)
  #sweptTo = 0

  constructor(options: PackedTableOptions = {}) {
    this.#table = new PackedTable(options)
  }

  /** AORs with at least one row, expired ones included until they are swept. */
  get size(): number {
    return this.#table.size
  }

  /** Rows that wait for their commit. */
  get pending(): number {
    return this.#waiting.size
  }

  /** The live bindings of an AOR (`user@domain`), the preferred first, then the newest. */
  find(aor: string, nowMs: number): BindingRow[] {
    const place = this.#table.get(aor)
    if (!place) return []
    const live = this.#read(place, aor, (at) => !this.#isOver(place.bytes, at, nowMs))
    return live.sort((a, b) => b.q - a.q || b.expiresAt - a.expiresAt)
  }

  /** All rows of an AOR, expired and removed ones too. */
  rows(aor: string): BindingRow[] {
    const place = this.#table.get(aor)
    return place ? this.#read(place, aor) : []
  }

  /**
   * All rows in batches, expired and removed ones too: what is there from the beginning to the end comes exactly once.
   * Between two batches the event loop turns.
   */
  async *all(): AsyncGenerator<readonly BindingRow[], void, void> {
    for (let part = 0, isLast = false; !isLast; ) {
      const batch: BindingRow[] = []
      part = this.#table.visit(part, (place) => {
        batch.push(...this.#read(place, this.#table.keyOf(place)))
      })
      isLast = part === 0
      yield batch
      await nextTurn()
    }
  }

  /** Takes over a change made here, which now waits until it is settled, reverted or kept. */
  put(row: BindingRow): void {
    const id = idOf(row)
    const waiting = this.#waiting.get(id)
    if (waiting) waiting.latest = row
    else this.#waiting.set(id, { latest: row, durable: this.#current(row) })
    this.#set(row)
  }

  /** Takes over a row as PostgreSQL has it, unless this memory is ahead of it. */
  adopt(row: BindingRow): void {
    const waiting = this.#waiting.size > 0 ? this.#waiting.get(idOf(row)) : undefined
    if (waiting) {
      if (!waiting.durable || waiting.durable.rev < row.rev) waiting.durable = row
    } else if (!this.#isKnown(row)) this.#set(row)
  }

  /** PostgreSQL has `durable` in the place of a change: the change with its number, or what was newer than it. */
  settle(change: BindingRow, durable: BindingRow): void {
    const waiting = this.#waiting.get(idOf(change))
    if (waiting?.latest !== change) return this.adopt(durable)
    this.#waiting.delete(idOf(change))
    const known = waiting.durable
    if (known && known.rev > durable.rev) this.#set(known)
    else if (isSameButNumber(change, durable)) this.#number(change, durable.rev)
    else this.#set(durable)
  }

  /** A change could not be written: what PostgreSQL has counts again, unless a later change waits. */
  revert(change: BindingRow): void {
    const waiting = this.#waiting.get(idOf(change))
    if (waiting?.latest !== change) return
    this.#waiting.delete(idOf(change))
    if (waiting.durable) this.#set(waiting.durable)
    else this.#drop(change.aor, ({ bytes }, at) => this.#packed.key(bytes, at, change.aor) === change.key)
  }

  /** A change could not be written, and counts all the same until PostgreSQL brings something else. */
  keep(change: BindingRow): void {
    const id = idOf(change)
    const waiting = this.#waiting.get(id)
    if (waiting?.latest === change) this.#waiting.delete(id)
    // Should the later change fail, this one counts again: it may have been acknowledged.
    else if (waiting) waiting.durable = change
  }

  /** Forgets what is in these slots and durable, without stopping the event loop for long. */
  async forget(isLost: (slot: number) => boolean): Promise<void> {
    let part = 0
    do {
      const lost: string[] = []
      part = this.#table.visit(part, (place) => {
        const isGone = this.#some(place, (at) => isLost(this.#packed.slot(place.bytes, at)))
        if (isGone && !this.#some(place, (at) => this.#isWaiting(place, at)))
          lost.push(this.#table.keyOf(place))
      })
      for (const aor of lost) this.#table.delete(aor)
      await nextTurn()
    } while (part !== 0)
  }

  /**
   * Forgets rows that ended before `beforeMs`, in a bounded number of AORs at each call, which goes on where the last one
   * stopped. It looks at all AORs again and again, which for each row costs less than a timer.
   */
  sweep(beforeMs: number): void {
    let left = SWEPT
    for (let parts = PARTS; parts > 0; parts--) {
      const ended: string[] = []
      const next = this.#table.visit(this.#sweptTo, (place) => {
        if (this.#some(place, (at) => this.#hasEnded(place, at, beforeMs)))
          ended.push(this.#table.keyOf(place))
      })
      for (const aor of ended.slice(0, left))
        this.#drop(aor, (place, at) => this.#hasEnded(place, at, beforeMs))
      left -= ended.length
      // What is left of this part is left for the next call.
      if (left < 0) return
      this.#sweptTo = next
      if (next === 0) return
    }
  }

  #hasEnded(place: Place, at: number, beforeMs: number): boolean {
    return this.#packed.expiresAt(place.bytes, at) < beforeMs && !this.#isWaiting(place, at)
  }

  #current({ aor, key }: BindingRow): BindingRow | undefined {
    return this.rows(aor).find((row) => row.key === key)
  }

  /** Whether this row, or a later one in its place, is in memory. */
  #isKnown({ aor, key, rev }: BindingRow): boolean {
    const place = this.#table.get(aor)
    if (!place) return false
    const { bytes } = place
    return this.#some(
      place,
      (at) => this.#packed.rev(bytes, at) >= rev && this.#packed.key(bytes, at, aor) === key,
    )
  }

  #isWaiting(place: Place, at: number): boolean {
    if (this.#waiting.size === 0) return false
    const aor = this.#table.keyOf(place)
    return this.#waiting.has(idOf({ aor, key: this.#packed.key(place.bytes, at, aor) }))
  }

  /** Puts a row in the place of the one with its key, behind the others. */
  #set(row: BindingRow): void {
    const { aor, key } = row
    const place = this.#table.get(aor)
    this.#reserve(this.#packed.room(row) + (place ? place.end - place.start : 0))
    let surplus = place ? this.#count(place) - MAX_ROWS : 0
    const others = place
      ? this.#copy(place, (at) => {
          if (this.#packed.key(place.bytes, at, aor) === key) return false
          const isKept =
            surplus < 0 || !this.#isOver(place.bytes, at, row.changedAt) || this.#isWaiting(place, at)
          if (!isKept) surplus--
          return isKept
        })
      : 0
    this.#table.set(aor, this.#scratch, others + this.#packed.write(row, this.#scratch, others))
  }

  /** Gives a row its number, where it is. */
  #number({ aor, key }: BindingRow, rev: number): void {
    const place = this.#table.get(aor)
    if (!place) return
    const { bytes, start, end } = place
    for (let at = start; at < end; at += this.#packed.length(bytes, at))
      if (this.#packed.key(bytes, at, aor) === key) this.#packed.setRev(bytes, at, rev)
  }

  /** Forgets some rows of an AOR. */
  #drop(aor: string, isDropped: (place: Place, at: number) => boolean): void {
    const place = this.#table.get(aor)
    if (!place) return
    this.#reserve(place.end - place.start)
    const length = this.#copy(place, (at) => !isDropped(place, at))
    if (length > 0) this.#table.set(aor, this.#scratch, length)
    else this.#table.delete(aor)
  }

  #reserve(bytes: number): void {
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes * 2)
  }

  /** Copies rows of an AOR for a change of them. @returns how many bytes that are */
  #copy(place: Place, isKept: (at: number) => boolean): number {
    const { bytes, start, end } = place
    let length = 0
    for (let at = start; at < end; at += this.#packed.length(bytes, at)) {
      if (isKept(at)) length += bytes.copy(this.#scratch, length, at, at + this.#packed.length(bytes, at))
    }
    return length
  }

  #read({ bytes, start, end }: Place, aor: string, isWanted?: (at: number) => boolean): BindingRow[] {
    const rows: BindingRow[] = []
    for (let at = start; at < end; at += this.#packed.length(bytes, at))
      if (!isWanted || isWanted(at)) rows.push(this.#packed.read(bytes, at, aor))
    return rows
  }

  #count({ bytes, start, end }: Place): number {
    let count = 0
    for (let at = start; at < end; at += this.#packed.length(bytes, at)) count++
    return count
  }

  /** The contrary of {@link isLive}. */
  #isOver(bytes: Buffer, at: number, nowMs: number): boolean {
    return this.#packed.isDeleted(bytes, at) || this.#packed.expiresAt(bytes, at) <= nowMs
  }

  #some({ bytes, start, end }: Place, isIt: (at: number) => boolean): boolean {
    for (let at = start; at < end; at += this.#packed.length(bytes, at)) if (isIt(at)) return true
    return false
  }
}

const idOf = ({ aor, key }: Pick<BindingRow, 'aor' | 'key'>): string => `${aor}\n${key}`

/** Spares packing a row again that has just been packed. */
function isSameButNumber(a: BindingRow, b: BindingRow): boolean {
  for (const field in a) {
    const name = field as keyof BindingRow
    if (name !== 'rev' && a[name] !== b[name]) return false
  }
  return true
}

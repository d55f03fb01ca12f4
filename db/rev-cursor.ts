import type { Database } from './database.ts'

/** What `tandem.refresh_point()` says. */
export interface RefreshPoint {
  /** The last change number given out. */
  readonly last: number
  /** The transactions after that, as text: `xmin:next:running,running,…`; from `next` on none has begun. */
  readonly running: string
}

/**
 * Where one reader of numbered rows stands, so that it reads each change once and misses none.
 *
 * A number is taken before the commit that shows its row, so "rows above the highest number seen" misses a
 * transaction that took a lower number and committed later: by milliseconds when two members write at once, by
 * minutes when somebody types BEGIN, UPDATE, and goes for coffee. No fixed overlap covers both. But a row can only
 * turn up late when a transaction ends that was running at the reader's last look; then, and only then, this goes
 * back to the number that had been given out before that transaction was first seen.
 *
 * It rests on two orders: a writer has its transaction id before it takes a number (`tandem.next_rev`), and a reader
 * reads the last number, then takes a transaction id of its own, and then its snapshot (`tandem.refresh_point`). So a
 * transaction that a look does not know as running or ended takes all its numbers after that look. A snapshot alone
 * does not know the newest of those that run.
 */
export class RevCursor {
  #last = 0
  #xmax = 0n
  /** Transaction → last number given out before it was first seen running. */
  #running = new Map<bigint, number>()

  /** A cursor that stands where `number` had been given out and nothing was under way: what has a higher one will be read. */
  static after(number: number): RevCursor {
    const cursor = new RevCursor()
    cursor.#last = number
    return cursor
  }

  /** Another that stands where this one does. */
  copy(): RevCursor {
    const cursor = RevCursor.after(this.#last)
    cursor.#xmax = this.#xmax
    cursor.#running = this.#running
    return cursor
  }

  /** Everything up to this number has been read, whatever may still be committed late. */
  get safe(): number {
    return Math.min(this.#last, ...this.#running.values())
  }

  /** The last change number that had been given out when this reader last looked; 0 before its first look. */
  get last(): number {
    return this.#last
  }

  /** Whether a transaction that was running at the first look still is: what it wrote may have any number. */
  get isVague(): boolean {
    for (const mark of this.#running.values()) if (mark === 0) return true
    return false
  }

  /** Above which number rows must be read, in a snapshot not older than `point`; then {@link moveTo} that point. */
  from(point: RefreshPoint): number {
    if (this.#isBehind(point)) return 0
    const { running } = parseSnapshot(point.running)
    let from = this.#last
    for (const [id, mark] of this.#running) if (!running.has(id)) from = Math.min(from, mark)
    return from
  }

  /** Notes that everything up to `point` has been read. */
  moveTo(point: RefreshPoint): void {
    const startOver = this.#isBehind(point)
    const { xmax, running } = parseSnapshot(point.running)
    const marks = new Map<bigint, number>()
    for (const id of running) marks.set(id, startOver ? 0 : (this.#running.get(id) ?? this.#last))
    this.#running = marks
    this.#xmax = xmax
    this.#last = point.last
  }

  /** Numbers never go back on one server: this is another, which had not yet heard of everything. */
  #isBehind(point: RefreshPoint): boolean {
    return point.last < this.#last || parseSnapshot(point.running).xmax < this.#xmax
  }
}

function parseSnapshot(text: string): { xmax: bigint; running: Set<bigint> } {
  const [, xmax = '0', list = ''] = text.split(':')
  return { xmax: BigInt(xmax), running: new Set(list === '' ? [] : list.split(',').map(BigInt)) }
}

const POINT = { name: 'refresh-point', text: 'select last, running from tandem.refresh_point()' }

/** @throws TandemError, as {@link Database.query} */
export async function refreshPoint(db: Database): Promise<RefreshPoint> {
  const [point] = await db.query<RefreshPoint>(POINT)
  if (!point) throw new Error('tandem.refresh_point() returned nothing')
  return point
}

const LOOKS = 10
const BETWEEN_LOOKS_MS = 20

/**
 * A cursor for a reader that is about to load all rows: call this first, then load. Waits up to 200 ms for the
 * transactions under way, because the end of one that it cannot place costs a second reading of all rows.
 * @throws TandemError, as {@link Database.query}
 */
export async function startCursor(db: Database): Promise<RevCursor> {
  const cursor = new RevCursor()
  cursor.moveTo(await refreshPoint(db))
  for (let look = 1; look < LOOKS && cursor.isVague; look++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS_MS))
    cursor.moveTo(await refreshPoint(db))
  }
  return cursor
}

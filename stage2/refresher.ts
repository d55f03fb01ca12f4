import { streamBindings, streamBindingsSince } from '../db/binding-store.ts'
import type { Database } from '../db/database.ts'
import { RevCursor, refreshPoint, startCursor } from '../db/rev-cursor.ts'
import { includes, isSlots, overlap, type Share, type Slots, slotCount, without } from '../db/slot-ranges.ts'
import { streamSubscribers, streamSubscribersSince } from '../db/subscriber-store.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Directory } from './directory.ts'
import type { Location } from './location.ts'

export interface RefresherOptions {
  readonly db: Database
  readonly directory: Directory
  readonly location: Location
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Logger
  /** Whether something has been acknowledged that PostgreSQL does not have yet; what it says then may be older than memory. */
  readonly isAhead?: () => boolean
  /** Hears when PostgreSQL cannot be read, with the reason, and when it can be again. */
  readonly onTrouble?: (reason: string | undefined) => void
}

/**
 * Keeps the memory of a member like PostgreSQL: reads everything of its share of the users at the start, and from then on
 * what has changed. So a slave stays warm, a DBA's hand edit arrives, and whatever went wrong in memory heals.
 */
export class Refresher {
  readonly #options: RefresherOptions
  /** What is kept up to date. */
  #shares: readonly Share[] = []
  /** The slots of which memory has every row. */
  #filled: readonly Slots[] = []
  #filling: Promise<void> | undefined
  #bindings: RevCursor | undefined
  #subscribers: RevCursor | undefined
  #freshAt = 0
  #running: Promise<void> | undefined
  #timer: Timer | undefined
  #failing = false

  constructor(options: RefresherOptions) {
    this.#options = options
  }

  /** Reads everything of these shares. @throws TandemError, as `Database.query` */
  async load(shares: readonly Share[]): Promise<void> {
    const { db, directory, location, clock, log } = this.#options
    const startedMs = clock.monotonicMs()
    this.#shares = shares
    // Cursors first: what changes while the tables are read is then read again.
    this.#bindings = await startCursor(db)
    this.#subscribers = await startCursor(db)
    await this.#read(shares)
    this.#filled = shares.filter(isSlots)
    this.#freshAt = clock.now()
    const ms = Math.round(clock.monotonicMs() - startedMs)
    log.info(
      { subscribers: directory.size, aors: location.size, ms },
      `loaded ${directory.size} subscribers and the bindings of ${location.size} AORs in ${ms} ms`,
    )
  }

  /** Up to which change number memory has everything; 0 before the first load. */
  get position(): number {
    return Math.min(this.#bindings?.safe ?? 0, this.#subscribers?.safe ?? 0)
  }

  /** When memory last was like PostgreSQL, milliseconds since the epoch. */
  get freshAt(): number {
    return this.#freshAt
  }

  /**
   * Goes on from a snapshot that was like PostgreSQL at `freshAt`, with all changes up to number `position`; 0 asks for everything to
   * be read anew. Until the next refresh it counts as failing.
   */
  resume(position: number, freshAt: number, shares: readonly Share[]): void {
    this.#shares = shares
    this.#bindings = position > 0 ? RevCursor.after(position) : undefined
    this.#subscribers = position > 0 ? RevCursor.after(position) : undefined
    this.#filled = shares.filter(isSlots)
    this.#freshAt = freshAt
    this.#failing = true
  }

  /**
   * Takes over other shares, those of a new map. What is lost is forgotten, what is gained is read; {@link filling} tells until
   * when.
   */
  adopt(shares: readonly Share[]): Promise<void> {
    const before = this.#filling ?? Promise.resolve()
    const filling = before
      .then(() => this.#change(shares))
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'the users that a new map brings could not be read yet')
      })
      .finally(() => {
        if (this.#filling === filling) this.#filling = undefined
      })
    this.#filling = filling
    return filling
  }

  /** Until when the rows of a slot are not all in memory; `undefined` when they are. */
  filling(slot: number): Promise<void> | undefined {
    if (includes(this.#filled, slot)) return undefined
    if (this.#filling) return this.#filling
    // A user of a pin has his slot elsewhere; one of ours was not read because PostgreSQL was away.
    return includes(this.#shares.filter(isSlots), slot) ? this.adopt(this.#shares) : undefined
  }

  async #change(shares: readonly Share[]): Promise<void> {
    const { directory, location, log } = this.#options
    const slots = shares.filter(isSlots)
    this.#shares = shares
    const kept = overlap(this.#filled, slots)
    if (slotCount(kept) < slotCount(this.#filled)) {
      const isLost = (slot: number) => !includes(kept, slot)
      await location.forget(isLost)
      await directory.forget(isLost)
    }
    this.#filled = kept
    // Pinned users are read again with every map: they are few.
    await this.#read([...without(slots, kept), ...shares.filter((share) => !isSlots(share))])
    this.#filled = slots
    log.debug({ slots: slotCount(slots), kept: slotCount(kept) }, 'the users of a new map are in memory')
  }

  async #read(shares: readonly Share[]): Promise<void> {
    if (shares.length === 0) return
    const { db, directory, location } = this.#options
    for await (const rows of streamSubscribers(db, shares)) for (const row of rows) directory.put(row)
    for await (const rows of streamBindings(db, shares)) for (const row of rows) location.adopt(row)
  }

  /** Refreshes from now on, every interval. */
  start(): void {
    const { clock, intervalMs } = this.#options
    this.#timer = clock.schedule(intervalMs, () => {
      void this.refresh().catch(() => {})
      this.#sweep()
      this.start()
    })
  }

  /** Reads what has changed; a call while one is under way waits for one that begins after it. */
  async refresh(): Promise<void> {
    if (this.#running) await this.#running.catch(() => {})
    this.#running ??= this.#refresh().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    // Whoever waited for one that has ended may have begun another.
    while (this.#running) await this.#running.catch(() => {})
  }

  async #refresh(): Promise<void> {
    const { log, onTrouble, isAhead } = this.#options
    try {
      await this.#readSubscribers()
      // When PostgreSQL has got what memory has, a refresh will bring all that has changed since.
      if (!isAhead?.()) await this.#readBindings()
      if (this.#failing) log.info('refresh from PostgreSQL works again')
      if (this.#failing) onTrouble?.(undefined)
      this.#failing = false
    } catch (error) {
      if (!this.#failing) log.warn({ err: error }, 'refresh from PostgreSQL failed; serving from memory')
      if (!this.#failing) onTrouble?.(error instanceof Error ? error.message : String(error))
      this.#failing = true
      throw error
    }
  }

  async #readSubscribers(): Promise<void> {
    const { db, directory } = this.#options
    if (!this.#subscribers) return
    for await (const changes of streamSubscribersSince(db, this.#subscribers, this.#shares)) {
      for (const change of changes) {
        if (change.removed) directory.remove(change.user, change.domain)
        else directory.put(change)
      }
    }
  }

  async #readBindings(): Promise<void> {
    const { db, location, clock, isAhead } = this.#options
    if (!this.#bindings) return await this.#startOver()
    const nowMs = clock.now()
    const cursor = this.#bindings.copy()
    for await (const rows of streamBindingsSince(db, cursor, this.#shares)) {
      // What went to the spool while this was under way must not be overwritten with what was before it.
      if (isAhead?.()) return
      for (const row of rows) location.adopt(row)
    }
    this.#bindings = cursor
    this.#freshAt = nowMs
  }

  /** What was removed since an old or damaged snapshot may have left no trace, so nothing of it stays. */
  async #startOver(): Promise<void> {
    const { db, directory, location } = this.#options
    await refreshPoint(db)
    await directory.forget(() => true)
    await location.forget(() => true)
    await this.load(this.#shares)
  }

  /** A row that has just ended may still be needed to tell an older write from a newer one. */
  #sweep(): void {
    const { location, clock } = this.#options
    location.sweep(clock.now() - KEEP_ENDED_MS)
  }
}

const KEEP_ENDED_MS = 60_000

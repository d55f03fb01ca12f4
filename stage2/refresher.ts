import { readBindingsSince, streamBindings } from '../db/binding-store.ts'
import type { Database } from '../db/database.ts'
import { type RevCursor, startCursor } from '../db/rev-cursor.ts'
import { readSubscribersSince, streamSubscribers } from '../db/subscriber-store.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { SlotRange } from '../src/partition/partition-map.ts'
import type { Directory } from './directory.ts'
import type { Location } from './location.ts'

export interface RefresherOptions {
  readonly db: Database
  readonly directory: Directory
  readonly location: Location
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Keeps the memory of a member like PostgreSQL: reads everything of its slots at the start, and from then on what has
 * changed. So a slave stays warm, a DBA's hand edit arrives, and whatever went wrong in memory heals.
 */
export class Refresher {
  readonly #options: RefresherOptions
  #ranges: readonly SlotRange[] = []
  #bindings!: RevCursor
  #subscribers!: RevCursor
  #running: Promise<void> | undefined
  #timer: Timer | undefined
  #failing = false

  constructor(options: RefresherOptions) {
    this.#options = options
  }

  /** Reads everything of these slots. @throws TandemError, as `Database.query` */
  async load(ranges: readonly SlotRange[]): Promise<void> {
    const { db, directory, location, clock, log } = this.#options
    const startedMs = clock.monotonicMs()
    this.#ranges = ranges
    // Cursors first: what changes while the tables are read is then read again.
    this.#bindings = await startCursor(db)
    this.#subscribers = await startCursor(db)
    for await (const rows of streamSubscribers(db, ranges)) for (const row of rows) directory.put(row)
    for await (const rows of streamBindings(db, ranges)) for (const row of rows) location.adopt(row)
    const ms = Math.round(clock.monotonicMs() - startedMs)
    log.info(
      { subscribers: directory.size, aors: location.size, ms },
      `loaded ${directory.size} subscribers and the bindings of ${location.size} AORs in ${ms} ms`,
    )
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
    const { db, log } = this.#options
    try {
      await this.#readChanges(db)
      if (this.#failing) log.info('refresh from PostgreSQL works again')
      this.#failing = false
    } catch (error) {
      if (!this.#failing) log.warn({ err: error }, 'refresh from PostgreSQL failed; serving from memory')
      this.#failing = true
      throw error
    }
  }

  async #readChanges(db: Database): Promise<void> {
    const { directory, location } = this.#options
    for (const change of await readSubscribersSince(db, this.#subscribers, this.#ranges)) {
      if (change.removed) directory.remove(change.user, change.domain)
      else directory.put(change)
    }
    for (const row of await readBindingsSince(db, this.#bindings, this.#ranges)) location.adopt(row)
  }

  /** A row that has just ended may still be needed to tell an older write from a newer one. */
  #sweep(): void {
    const { location, clock } = this.#options
    location.sweep(clock.now() - KEEP_ENDED_MS)
  }
}

const KEEP_ENDED_MS = 60_000

import { join } from 'node:path'
import { type BindingRow, findBindingsOf, writeBindings } from '../db/binding-store.ts'
import type { Database } from '../db/database.ts'
import { isAway } from '../db/database-error.ts'
import { purge } from '../db/purge-store.ts'
import type { Share } from '../db/slot-ranges.ts'
import { findSubscribers } from '../db/subscriber-store.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import { TandemError } from '../src/ops/errors.ts'
import type { Logger } from '../src/ops/logging.ts'
import { isRemovedBy, removedWith, replaces } from './binding-order.ts'
import { BindingWriter, type WriterState } from './binding-writer.ts'
import { Directory } from './directory.ts'
import { GroupCommit } from './group-commit.ts'
import { Health } from './health.ts'
import { Location } from './location.ts'
import { Lookups } from './lookups.ts'
import { ReadThrough } from './read-through.ts'
import { Refresher } from './refresher.ts'
import { loadSnapshot, type SnapshotHead, saveSnapshot } from './snapshot.ts'
import { Spool } from './spool.ts'

const HOUR_MS = 3_600_000
const LATE_MS = 1_000
const SPOOL_CHECK_MS = 10_000

export interface StoreOptions {
  readonly db: Database
  readonly config: Pick<Config, 'node' | 'stateDir' | 'refreshIntervalMs' | 'stage2'>
  readonly clock: Clock
  readonly log: Logger
  /** Hears what is lacking, in one line; `undefined` when nothing is any more. */
  readonly onHealth: (reason: string | undefined) => void
}

/**
 * What a member knows of its users, and how that comes from PostgreSQL and gets there: memory, spool and snapshot together
 * (design §4).
 */
export class Store {
  readonly location = new Location()
  readonly directory: Directory
  readonly refresher: Refresher
  readonly readThrough: ReadThrough
  readonly commits: GroupCommit
  readonly health: Health
  readonly #options: StoreOptions
  readonly #spool: Spool
  readonly #writer: BindingWriter
  readonly #timers = new Map<string, Timer>()
  #isClosed = false

  private constructor(options: StoreOptions, spool: Spool) {
    const { db, config, clock, log, onHealth } = options
    const { refreshIntervalMs, stage2 } = config
    this.#options = options
    this.#spool = spool
    this.health = new Health(onHealth)
    const users = new Lookups(
      (aors) => findSubscribers(db, aors),
      ({ user, domain }) => `${user}@${domain}`,
    )
    this.directory = new Directory(async (aor) => (await users.find(aor))[0])
    const bindings = new Lookups(
      (aors) =>
        findBindingsOf(
          db,
          aors.map(({ key, slot }) => ({ aor: key, slot })),
        ),
      ({ aor }) => aor,
    )
    this.readThrough = new ReadThrough({
      location: this.location,
      find: (aor) => bindings.find(aor),
      isAhead: () => this.#writer.isAhead,
      clock,
    })
    this.#writer = new BindingWriter({
      write: (rows, late) => writeBindings(db, rows, { late: late || this.#hasLate(rows) }),
      ping: () => db.query('select tandem.next_rev()'),
      spool,
      patienceMs: stage2.spool.patienceMs,
      clock,
      log,
      onChange: (state, reason) => this.#wrote(state, reason),
    })
    this.commits = new GroupCommit((rows) => this.#writer.write(rows))
    this.refresher = new Refresher({
      db,
      directory: this.directory,
      location: this.location,
      intervalMs: refreshIntervalMs,
      clock,
      log,
      isAhead: () => this.#writer.isAhead,
      onTrouble: (reason) => this.#read(reason),
    })
  }

  /** @throws TandemError SPOOL_UNREADABLE */
  static async open(options: StoreOptions): Promise<Store> {
    const { config, log } = options
    const path = join(config.stateDir, `${config.node}.spool`)
    const { maxBytes } = config.stage2.spool
    const spool = await Spool.open({ path, maxBytes, log }).catch((cause: Error) => {
      throw new TandemError('SPOOL_UNREADABLE', `the spool ${path} cannot be opened: ${cause.message}`, {
        hint: 'it may hold registrations that PostgreSQL lacks: make it readable, or move it away',
        cause,
      })
    })
    return new Store(options, spool)
  }

  /**
   * Fills memory with these shares: from PostgreSQL, after what the spool holds for it, or while that is away from the last
   * snapshot. May be called again after it has failed.
   * @throws TandemError, as `Database.query`, when there is no snapshot either
   */
  async load(shares: readonly Share[]): Promise<void> {
    try {
      await this.#writer.drain()
      await this.refresher.load(shares)
    } catch (error) {
      if (!isAway(error)) throw error
      const head = await this.#restore()
      if (!head) throw error
      this.refresher.resume(head.position, head.savedAt, shares)
    }
  }

  /** Keeps memory like PostgreSQL from now on, and both tidy. */
  start(): void {
    const { snapshotIntervalSec } = this.#options.config.stage2
    this.refresher.start()
    if (snapshotIntervalSec > 0) this.#every('snapshot', 0, snapshotIntervalSec * 1000, () => this.#save())
    this.#every('the spool', 0, SPOOL_CHECK_MS, () => this.#prepareSpool())
    this.#every('purge', HOUR_MS * Math.random(), HOUR_MS, () => this.#purge())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers.values()) timer.cancel()
    await this.commits.drained()
    await this.#writer.stop()
    await this.refresher.stop()
    await this.#spool.close()
    this.directory.close()
    this.readThrough.close()
  }

  #every(name: string, firstMs: number, thenMs: number, work: () => Promise<void>): void {
    const { clock, log } = this.#options
    const later = (ms: number) =>
      this.#timers.set(
        name,
        clock.schedule(ms, () => void run()),
      )
    const run = async () => {
      await work().catch((error: unknown) => log.warn({ err: error }, `${name} failed`))
      if (!this.#isClosed) later(thenMs)
    }
    later(firstMs)
  }

  /** A disk that takes nothing had better be known before it is needed. */
  async #prepareSpool(): Promise<void> {
    try {
      await this.#spool.prepare()
      this.health.set('spool', undefined)
    } catch (error) {
      const reason = `there is no spool: ${error instanceof Error ? error.message : error}`
      if (this.health.reasonOf('spool') !== reason) this.#options.log.warn({ err: error }, reason)
      this.health.set('spool', reason)
    }
  }

  /** Whether rows have waited, in a queue or because this process stood still: others may have written since. */
  #hasLate(rows: readonly BindingRow[]): boolean {
    const beforeMs = this.#options.clock.now() - LATE_MS
    return rows.some(({ changedAt }) => changedAt < beforeMs)
  }

  #wrote(state: WriterState, reason: string): void {
    const { log } = this.#options
    log[state === 'direct' ? 'info' : 'warn']({ state, ...(reason && { reason }) }, WRITING[state])
    this.health.set('writing', state === 'direct' ? undefined : `${WRITING[state]}${reason && `: ${reason}`}`)
  }

  #read(reason: string | undefined): void {
    this.health.set('reading', reason && `PostgreSQL cannot be read: ${reason}`)
    if (reason === undefined) this.health.set('users', undefined)
  }

  get #snapshotPath(): string {
    const { stateDir, node } = this.#options.config
    return join(stateDir, `${node}.bindings`)
  }

  async #save(): Promise<void> {
    const { clock, log } = this.#options
    const startedMs = clock.monotonicMs()
    const head = { savedAt: this.refresher.freshAt, position: this.refresher.position }
    const rows = { subscribers: this.directory.all(), bindings: this.location.all() }
    const count = await saveSnapshot(this.#snapshotPath, head, rows)
    log.debug({ rows: count, ms: Math.round(clock.monotonicMs() - startedMs) }, 'snapshot written')
  }

  async #restore(): Promise<SnapshotHead | undefined> {
    const { clock, log } = this.#options
    const { directory, location } = this
    const head = await loadSnapshot(this.#snapshotPath, {
      subscribers: (rows) => rows.forEach((row) => void directory.put(row)),
      bindings: (rows) => rows.forEach((row) => void location.adopt(row)),
    })
    if (!head) return undefined
    for await (const { rows } of this.#spool.read()) for (const row of rows) this.#overlay(row)
    const ageSec = Math.round((clock.now() - head.savedAt) / 1000)
    const what = `PostgreSQL is away: serving from a snapshot that is ${ageSec} s old`
    log.warn({ ageSec, subscribers: directory.size, aors: location.size }, what)
    this.health.set('users', what)
    // Whoever was deleted so long ago has left no trace.
    return ageSec * 1000 < this.#purgeAgeMs ? head : { ...head, position: 0 }
  }

  /** Takes a row of the spool over what the snapshot has. */
  #overlay(row: BindingRow): void {
    const { location } = this
    const rows = location.rows(row.aor)
    const known = rows.find(({ key }) => key === row.key)
    if ((known && !replaces(row, known)) || rows.some((other) => isRemovedBy(row, other))) return
    for (const change of [row, ...removedWith(row, rows)]) {
      location.put(change)
      location.keep(change)
    }
  }

  /** An expired row out of a spool may come back to life only as such: no tombstone goes before what it ended would. */
  get #purgeAgeMs(): number {
    const { purgeAfterHours, expires } = this.#options.config.stage2
    return Math.max(purgeAfterHours * HOUR_MS, expires.maxSec * 1000 + HOUR_MS)
  }

  async #purge(): Promise<void> {
    const { db, config, clock, log } = this.#options
    const beforeMs = clock.now() - this.#purgeAgeMs
    const rows = await purge(db, { node: config.node, beforeMs, everyMs: HOUR_MS })
    if (rows) log.info({ rows }, `purged ${rows} old rows`)
  }
}

const WRITING = {
  direct: 'registrations go to PostgreSQL, and none is left in the spool',
  draining: 'PostgreSQL is back, and is getting what is in the spool',
  spooling: 'PostgreSQL takes no registrations: they go to the spool',
  refusing: 'neither PostgreSQL nor the spool takes registrations: they get 503',
} as const satisfies Record<WriterState, string>

import type { BindingRow, WriteResult } from '../db/binding-store.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Spool, SpooledRows } from './spool.ts'

/** Between two attempts to reach PostgreSQL while it is away. */
const RETRY_MS = 500
/** Rows in one statement. */
const BATCH = 250

/** What became of rows: what PostgreSQL made of them, or that they are in the spool. */
export type Written = WriteResult | 'spooled'

/** Neither PostgreSQL nor the spool takes a change: it is not durable, and must not be acknowledged. */
export class NotDurable extends Error {
  override readonly name: string = 'NotDurable'
}

/** Where changes of bindings go at the moment. */
export type WriterState =
  /** To PostgreSQL, and none is in the spool. */
  | 'direct'
  /** To PostgreSQL, which is also getting what is in the spool. */
  | 'draining'
  /** To the spool. */
  | 'spooling'
  /** Nowhere. */
  | 'refusing'

export interface BindingWriterOptions {
  /** Writes to PostgreSQL; `late`: rows that have lain in the spool. */
  readonly write: (rows: readonly BindingRow[], late: boolean) => Promise<WriteResult>
  /** Resolves if PostgreSQL would take rows. */
  readonly ping: () => Promise<unknown>
  readonly spool: Spool
  /** How long PostgreSQL may take for a batch before it goes to the spool, ms. */
  readonly patienceMs: number
  readonly clock: Clock
  readonly log: Pick<Logger, 'error'>
  /** Hears of every new state, with its cause. */
  readonly onChange: (state: WriterState, reason: string) => void
}

/**
 * Makes changes of bindings durable: in PostgreSQL, and while that is away in the spool.
 *
 *                 PostgreSQL fails            the disk fails
 *      direct ─────────────────────► spooling ◄───────────► refusing
 *        ▲                            ▲    │                    │
 *        │ spool empty   it fails     │    │ it takes rows      │
 *        └──────────────── draining ──┴────┴────────────────────┘
 *
 * What PostgreSQL was given when it failed may have been committed; it goes to the spool all the same, since writing it
 * again changes nothing. While the spool drains, new changes go to PostgreSQL past it: which of two rows is newer is
 * decided there, by the rows, and not by who comes first.
 */
export class BindingWriter {
  readonly #options: BindingWriterOptions
  #isAway = false
  #isRecovering = false
  /** Up to where the spool is in PostgreSQL. */
  #drainedTo = 0
  #spoolFailure: unknown
  #state: WriterState = 'direct'
  #stopped = false
  #wake: () => void = () => {}
  #recovered: Promise<void> = Promise.resolve()

  constructor(options: BindingWriterOptions) {
    this.#options = options
  }

  get state(): WriterState {
    return this.#state
  }

  /** Whether PostgreSQL lacks something that memory has, and has been acknowledged. */
  get isAhead(): boolean {
    return !this.#options.spool.isEmpty
  }

  /** Resolves when these rows are durable. One call at a time. @throws NotDurable */
  async write(rows: readonly BindingRow[]): Promise<Written> {
    if (!this.#isAway) {
      try {
        return await this.#inTime(this.#options.write(rows, false))
      } catch (error) {
        this.#lost(error)
      }
    }
    try {
      await this.#options.spool.append(rows)
    } catch (error) {
      this.#spoolFailure = error
      this.#tell()
      throw new NotDurable('neither PostgreSQL nor the spool takes registrations', { cause: error })
    }
    this.#spoolFailure = undefined
    this.#tell()
    return 'spooled'
  }

  /**
   * Writes to PostgreSQL what a former process has left in the spool.
   * @throws what PostgreSQL throws; then it is tried again until {@link stop}
   */
  async drain(): Promise<void> {
    if (this.#options.spool.isEmpty) return
    try {
      await this.#drain()
    } catch (error) {
      this.#lost(error)
      throw error
    }
  }

  /** Leaves the rest of the spool to the next process. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake()
    await this.#recovered
  }

  #lost(error: unknown): void {
    this.#isAway = true
    this.#tell(error)
    if (this.#isRecovering || this.#stopped) return
    this.#isRecovering = true
    this.#recovered = this.#recover()
  }

  async #recover(): Promise<void> {
    while (!this.#stopped && (this.#isAway || this.isAhead)) {
      await this.#pause()
      if (this.#stopped) break
      await this.#drain().catch((error: unknown) => this.#lost(error))
    }
    // In the same turn as the look above: what fails from here on begins anew.
    this.#isRecovering = false
  }

  async #drain(): Promise<void> {
    const { spool, ping } = this.#options
    if (spool.isEmpty) {
      await ping()
      this.#isAway = false
    }
    while (!spool.isEmpty && !this.#stopped) {
      const before = this.#drainedTo
      for await (const { rows, end } of together(spool.read(before))) {
        await this.#writeLate(rows)
        this.#drainedTo = end
        if (this.#stopped) return
      }
      if (this.#drainedTo === before) this.#giveUpRest()
      if (await spool.clear(this.#drainedTo)) this.#drainedTo = 0
    }
    this.#spoolFailure = undefined
    this.#tell()
  }

  async #writeLate(rows: readonly BindingRow[]): Promise<void> {
    const { write, log } = this.#options
    const { failed } = await write(rows, true)
    for (const { row, error } of failed)
      log.error(
        { err: error, aor: row.aor },
        'a registration in the spool is nothing that PostgreSQL can hold',
      )
    this.#isAway = false
    this.#tell()
  }

  /** The file is not what was written to it. */
  #giveUpRest(): void {
    const { spool, log } = this.#options
    log.error(
      { path: spool.path, from: this.#drainedTo, to: spool.bytes },
      'the spool is damaged: registrations in it are lost',
    )
    this.#drainedTo = spool.bytes
  }

  #tell(error?: unknown): void {
    const state = this.#stateNow()
    if (state === this.#state) return
    this.#state = state
    const cause = state === 'refusing' ? this.#spoolFailure : error
    this.#options.onChange(state, cause instanceof Error ? cause.message : String(cause ?? ''))
  }

  #stateNow(): WriterState {
    if (this.#isAway) return this.#spoolFailure === undefined ? 'spooling' : 'refusing'
    return this.isAhead ? 'draining' : 'direct'
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    const { clock, patienceMs } = this.#options
    return new Promise((resolve, reject) => {
      const limit = clock.schedule(patienceMs, () =>
        reject(new Error(`PostgreSQL does not answer within ${patienceMs} ms`)),
      )
      work.then(resolve, reject).finally(() => limit.cancel())
    })
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer: Timer = this.#options.clock.schedule(RETRY_MS, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}

/** Records of the spool in larger pieces: where the disk was quick each has few rows. */
async function* together(records: AsyncIterable<SpooledRows>): AsyncGenerator<SpooledRows, void, void> {
  let rows: BindingRow[] = []
  let end = 0
  for await (const record of records) {
    if (rows.length > 0 && rows.length + record.rows.length > BATCH) {
      yield { rows, end }
      rows = []
    }
    rows.push(...record.rows)
    end = record.end
  }
  if (rows.length > 0) yield { rows, end }
}

import type { BindingRow, WriteResult } from '../db/binding-store.ts'
import { NotDurable, type Written } from './binding-writer.ts'

/** Rows in one statement: measured, larger batches gain nothing and delay the first in them. */
const BATCH = 250
/** Rows that wait at most: what is written in about a second. What comes beyond them fails at once. */
const MAX_WAITING = 20_000

export interface Commit {
  readonly rows: readonly BindingRow[]
  /** The rows are durable, with this change number; where PostgreSQL had a newer row, that one is `result.newer`. */
  committed(result: WriteResult): void
  /** The rows are durable in the spool, and PostgreSQL will have them later. */
  spooled(): void
  /** @param error NotDurable, or what PostgreSQL has against the rows */
  failed(error: unknown): void
}

/**
 * Writes changes of bindings in batches. One batch is in flight at a time and the next one gathers
 * meanwhile (group commit), so the order of commits is the order of changes, and the busier the member the fewer
 * commits it needs per change.
 */
export class GroupCommit {
  readonly #write: (rows: readonly BindingRow[]) => Promise<Written>
  readonly #maxWaiting: number
  #waiting: Commit[] = []
  #waitingRows = 0
  #running: Promise<void> | undefined

  constructor(write: (rows: readonly BindingRow[]) => Promise<Written>, maxWaiting = MAX_WAITING) {
    this.#write = write
    this.#maxWaiting = maxWaiting
  }

  /** Changes that are not durable yet. */
  get backlog(): number {
    return this.#waiting.length
  }

  /** Whether so much waits that a new request is better refused before any work is done for it. */
  get isFull(): boolean {
    return this.#waitingRows >= this.#maxWaiting
  }

  add(commit: Commit): void {
    if (this.isFull) return commit.failed(new NotDurable('too many registrations wait for PostgreSQL'))
    this.#waiting.push(commit)
    this.#waitingRows += commit.rows.length
    this.#running ??= this.#run()
  }

  /** Resolves when all that was added is durable or has failed. */
  async drained(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    // What the rest of this turn adds joins the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#writeBatch(this.#nextBatch())
    this.#running = undefined
  }

  #nextBatch(): Commit[] {
    let rows = 0
    const end = this.#waiting.findIndex((commit) => {
      rows += commit.rows.length
      return rows > BATCH
    })
    const batch = this.#waiting.splice(0, end < 0 ? this.#waiting.length : Math.max(end, 1))
    for (const commit of batch) this.#waitingRows -= commit.rows.length
    return batch
  }

  async #writeBatch(batch: readonly Commit[]): Promise<void> {
    let result: Written
    try {
      result = await this.#write(batch.flatMap(({ rows }) => rows))
    } catch (error) {
      for (const commit of batch) commit.failed(error)
      return
    }
    if (result === 'spooled') {
      for (const commit of batch) commit.spooled()
      return
    }
    const failures = new Map(result.failed.map(({ row, error }) => [row, error]))
    for (const commit of batch) {
      const failed = commit.rows.find((row) => failures.has(row))
      if (failed) commit.failed(failures.get(failed))
      else commit.committed(result)
    }
  }
}

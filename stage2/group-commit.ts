import type { BindingRow, WriteResult } from '../db/binding-store.ts'

/** Rows in one statement: measured, larger batches gain nothing and delay the first in them. */
const BATCH = 250

export interface Commit {
  readonly rows: readonly BindingRow[]
  /** The rows are durable, with this change number; where PostgreSQL had a newer row, that one is `result.newer`. */
  committed(result: WriteResult): void
  failed(error: unknown): void
}

/**
 * Writes changes of bindings to PostgreSQL in batches. One batch is in flight at a time and the next one gathers
 * meanwhile (group commit), so the order of commits is the order of changes, and the busier the member the fewer
 * commits it needs per change.
 */
export class GroupCommit {
  readonly #write: (rows: readonly BindingRow[]) => Promise<WriteResult>
  #waiting: Commit[] = []
  #running: Promise<void> | undefined

  constructor(write: (rows: readonly BindingRow[]) => Promise<WriteResult>) {
    this.#write = write
  }

  /** Changes that are not durable yet. */
  get backlog(): number {
    return this.#waiting.length
  }

  add(commit: Commit): void {
    this.#waiting.push(commit)
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
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : Math.max(end, 1))
  }

  async #writeBatch(batch: readonly Commit[]): Promise<void> {
    let result: WriteResult
    try {
      result = await this.#write(batch.flatMap(({ rows }) => rows))
    } catch (error) {
      for (const commit of batch) commit.failed(error)
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

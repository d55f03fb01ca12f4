import NodeCache from 'node-cache'
import type { BindingRow } from '../db/binding-store.ts'
import type { Clock } from '../src/ops/clock.ts'
import type { Aor } from './directory.ts'
import type { Location } from './location.ts'

/** How long a request waits for it at most; then memory decides. */
const PATIENCE_MS = 300
/** Seconds for which an AOR without a binding is not asked for again. */
const MISS_SEC = 5
/** Misses remembered at most; then all are forgotten, and asked for again. */
const MISSES = 100_000

export interface ReadThroughOptions {
  readonly location: Location
  /** All rows that PostgreSQL has of an AOR. */
  readonly find: (aor: Aor) => Promise<readonly BindingRow[]>
  /** Whether memory is ahead of PostgreSQL, which then may still have what was removed. */
  readonly isAhead: () => boolean
  readonly clock: Clock
}

/**
 * Asks PostgreSQL for the bindings of a user of whom memory has none, once, before it is said that he is not there: another
 * member may have registered him since the last refresh.
 */
export class ReadThrough {
  readonly #options: ReadThroughOptions
  readonly #misses = new NodeCache({ stdTTL: MISS_SEC, useClones: false })

  constructor(options: ReadThroughOptions) {
    this.#options = options
  }

  /** Resolves when memory has what PostgreSQL has, or that takes too long, or cannot be known. */
  async fill(aor: Aor): Promise<void> {
    const { location, isAhead, clock } = this.#options
    // A tombstone or an expired row is knowledge, too.
    if (isAhead() || this.#misses.has(aor.key) || location.rows(aor.key).length > 0) return
    await new Promise<void>((resolve) => {
      const limit = clock.schedule(PATIENCE_MS, resolve)
      void this.#ask(aor).then(() => {
        limit.cancel()
        resolve()
      })
    })
  }

  async #ask(aor: Aor): Promise<void> {
    const { location, find, isAhead } = this.#options
    try {
      const rows = await find(aor)
      if (isAhead()) return
      for (const row of rows) location.adopt(row)
      if (rows.length === 0) this.#remember(aor)
    } catch {
      // Whoever keeps memory like PostgreSQL says that it is away.
    }
  }

  #remember(aor: Aor): void {
    if (this.#misses.getStats().keys >= MISSES) this.#misses.flushAll()
    this.#misses.set(aor.key, true)
  }

  /** Stops its timer. */
  close(): void {
    this.#misses.close()
  }
}

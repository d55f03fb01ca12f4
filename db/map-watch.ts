import { type Clock, systemClock, type Timer } from '../src/ops/clock.ts'
import type { Database, Subscription } from './database.ts'
import { loadMap, type MapSnapshot, type MapVersion, readMapVersion } from './map-store.ts'

export interface WatchOptions {
  /** How often the version is read in case a notification was missed, ms. */
  readonly intervalMs: number
  readonly clock?: Clock
  /** What the caller has already; without it, the first snapshot comes through `onChange`. */
  readonly known?: MapVersion
  /** Called with each new snapshot, never twice at once. What it throws goes to `onError`. */
  readonly onChange: (snapshot: MapSnapshot) => void
  /** Called when a re-read failed; the next interval tries again. */
  readonly onError: (error: unknown) => void
}

/**
 * Keeps a caller's map up to date: a notification, or a reconnect of the listener, reads it at once; the interval
 * reads the version alone, so that a missed notification costs one interval and nothing else. By the interval it also
 * learns which nodes have fallen silent.
 */
export function watchMap(db: Database, options: WatchOptions): MapWatch {
  const watch = new MapWatch(db, options)
  watch.start()
  return watch
}

export class MapWatch implements Subscription {
  readonly #db: Database
  readonly #options: WatchOptions
  readonly #clock: Clock
  #known: MapVersion | undefined
  #subscription: Subscription | undefined
  #timer: Timer | undefined
  #reading: Promise<void> | undefined
  #again = false
  #stopped = false
  /** PostgreSQL was away: nobody could report itself, so silence counts only from its return on. */
  #isBroken = false
  #heardSince = 0

  constructor(db: Database, options: WatchOptions) {
    this.#db = db
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#known = options.known
  }

  start(): void {
    this.#subscription = this.#db.listen('tandem_map', () => void this.#read())
    void this.#read()
    this.#tick()
  }

  stop(): void {
    this.#stopped = true
    this.#subscription?.stop()
    this.#timer?.cancel()
  }

  #tick(): void {
    this.#timer = this.#clock.schedule(this.#options.intervalMs, () => {
      void this.#read()
      this.#tick()
    })
  }

  /** Reads now; resolves when what was in PostgreSQL at the call is in force, or could not be read. */
  refresh(): Promise<void> {
    return this.#read()
  }

  /** One at a time; whatever happens meanwhile asks for one more. */
  #read(): Promise<void> {
    if (this.#reading) this.#again = true
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readAll(): Promise<void> {
    try {
      do {
        this.#again = false
        await this.#readOnce()
      } while (this.#again && !this.#stopped)
    } catch (error) {
      this.#isBroken = true
      if (!this.#stopped) this.#options.onError(error)
    }
  }

  async #readOnce(): Promise<void> {
    if (this.#stopped) return
    let version = await readMapVersion(this.#db, this.#heardSince)
    if (this.#isBroken) {
      this.#isBroken = false
      this.#heardSince = version.now
      version = await readMapVersion(this.#db, this.#heardSince)
    }
    if (isSame(this.#known, version)) return
    const snapshot = await loadMap(this.#db, this.#heardSince)
    if (this.#stopped) return
    this.#known = snapshot
    this.#options.onChange(snapshot)
  }
}

/** Any difference counts: after a failover the version may have gone back. */
const isSame = (a: MapVersion | undefined, b: MapVersion) =>
  a?.version === b.version && a.nodesRev === b.nodesRev && String(a.silent) === String(b.silent)

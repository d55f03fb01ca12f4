import type { Clock } from '../src/ops/clock.ts'

/** How long requests wait at most for the refresh of a takeover; then they are served from what there is. */
const PATIENCE_MS = 300
/** Requests that wait at most; what comes beyond them is served at once. */
const MAX_WAITING = 10_000

/**
 * A member that has had no request within the last refresh interval may be a slave that is taking over, with changes
 * of the master's last moments still unread. So it reads them before it answers, unless that takes too long.
 */
export class Takeover {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #refresh: () => Promise<void>
  #lastMs = Number.NEGATIVE_INFINITY
  #waiting: (() => void)[] | undefined

  constructor(clock: Clock, intervalMs: number, refresh: () => Promise<void>) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#refresh = refresh
  }

  /** Serves a request now, or when memory is as new as PostgreSQL. In the order of the calls. */
  whenFresh(serve: () => void): void {
    const nowMs = this.#clock.monotonicMs()
    const quietMs = nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (this.#waiting) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(serve)
      else serve()
    } else if (quietMs < this.#intervalMs) serve()
    else this.#hold(serve)
  }

  #hold(serve: () => void): void {
    const waiting = [serve]
    this.#waiting = waiting
    const release = () => {
      if (this.#waiting !== waiting) return
      this.#waiting = undefined
      timer.cancel()
      for (const serveNext of waiting) serveNext()
    }
    const timer = this.#clock.schedule(PATIENCE_MS, release)
    // A refresh that fails is reported by whoever runs it; here it only means: serve what there is.
    this.#refresh().then(release, release)
  }
}

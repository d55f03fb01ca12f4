import type { Clock, Timer } from '../src/ops/clock.ts'

/** A process that did nothing for so long was stopped, or starved; others may have taken over meanwhile. */
const STANDSTILL_MS = 1_000
const LOOK_MS = 100
/** How long it takes at least, and at most, to read what the sockets have gathered; in between, as long as the standstill. */
const CATCH_UP_MS = { least: 1_000, most: 5_000 }

/**
 * Whether this process has just stood still (SIGSTOP, a paused virtual machine, a starved host), so that what it reads now may be old:
 * requests whose copies another member has answered long ago.
 */
export class Standstill {
  readonly #clock: Clock
  #lookedMs = 0
  #caughtUpMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(): void {
    this.#lookedMs = this.#clock.monotonicMs()
    this.#lookLater()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  get isRecent(): boolean {
    return this.#timer !== undefined && this.#look() < this.#caughtUpMs
  }

  /** Whoever comes first after a standstill notices it: the timer, or a message. */
  #look(): number {
    const nowMs = this.#clock.monotonicMs()
    const stoodMs = nowMs - this.#lookedMs
    if (stoodMs >= STANDSTILL_MS)
      this.#caughtUpMs = nowMs + Math.min(Math.max(stoodMs, CATCH_UP_MS.least), CATCH_UP_MS.most)
    this.#lookedMs = nowMs
    return nowMs
  }

  #lookLater(): void {
    this.#timer = this.#clock.schedule(LOOK_MS, () => {
      this.#look()
      this.#lookLater()
    })
  }
}

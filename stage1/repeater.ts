import type { Clock, Timer } from '../src/ops/clock.ts'

/** Milliseconds between two copies: RFC 3261 §17.1.1.2's timer A with T1 of 500 ms, as far as a member's loss can last. */
const INTERVALS_MS = [500, 1_000, 2_000, 4_000] as const

/** Requests that are waited for at most; what comes beyond them is sent once. */
const MAX_OPEN = 10_000

/**
 * Repeats over UDP what came over a connection, until something is heard of it. Such a client repeats nothing itself
 * (RFC 3261 §17.1.1.2), and a stateless proxy between it and UDP would lose its request with the first lost datagram,
 * or with the member it was sent to. That is the only thing a worker remembers of a message, and not for long: when the
 * worker dies, so does the connection.
 */
export class Repeater {
  readonly #clock: Clock
  /** By branch. */
  readonly #open = new Map<string, Timer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Requests of which nothing has been heard yet. */
  get size(): number {
    return this.#open.size
  }

  /** `send` sends another copy, to whoever serves by then. */
  repeat(branch: string, send: () => void): void {
    if (this.#open.size < MAX_OPEN && !this.#open.has(branch)) this.#wait(branch, send, 0)
  }

  /** A response has come, be it provisional. */
  heard(branch: string): void {
    this.#open.get(branch)?.cancel()
    this.#open.delete(branch)
  }

  close(): void {
    for (const timer of this.#open.values()) timer.cancel()
    this.#open.clear()
  }

  #wait(branch: string, send: () => void, copies: number): void {
    const intervalMs = INTERVALS_MS[copies]
    if (intervalMs === undefined) return void this.#open.delete(branch)
    const timer = this.#clock.schedule(intervalMs, () => {
      send()
      this.#wait(branch, send, copies + 1)
    })
    this.#open.set(branch, timer)
  }
}

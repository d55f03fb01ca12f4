import type { Clock, Timer } from '../../src/ops/clock.ts'

interface Entry extends Timer {
  readonly dueMs: number
  readonly action: () => void
}

/** Time that stands still until a test advances it. */
export class FakeClock implements Clock {
  #elapsedMs = 0
  #epochMs: number
  // In the order in which they fire; equal times in the order in which they were set.
  #entries: Entry[] = []

  constructor(epochMs = Date.UTC(2002, 5, 1)) {
    this.#epochMs = epochMs
  }

  now(): number {
    return this.#epochMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#entries.length
  }

  /** Milliseconds until the next timer; undefined without one. */
  get nextMs(): number | undefined {
    const next = this.#entries[0]
    return next && next.dueMs - this.#elapsedMs
  }

  schedule(delayMs: number, action: () => void): Timer {
    const dueMs = this.#elapsedMs + Math.max(delayMs, 0)
    const entry: Entry = { dueMs, action, cancel: () => this.#remove(entry) }
    this.#entries.splice(this.#positionOf(dueMs), 0, entry)
    return entry
  }

  /** Lets time pass and fires what falls due on the way, also what the fired actions set. */
  advance(ms: number): void {
    const untilMs = this.#elapsedMs + ms
    for (let next = this.#entries[0]; next && next.dueMs <= untilMs; next = this.#entries[0]) {
      this.#entries.shift()
      this.#elapsedMs = next.dueMs
      next.action()
    }
    this.#elapsedMs = untilMs
  }

  #positionOf(dueMs: number): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#entries[middle] as Entry).dueMs <= dueMs) low = middle + 1
      else high = middle
    }
    return low
  }

  #remove(entry: Entry): void {
    const index = this.#entries.indexOf(entry)
    if (index >= 0) this.#entries.splice(index, 1)
  }
}

/** Delay before the next attempt: doubles with each failure up to a limit, with jitter so that nodes do not march in step. */
export class Backoff {
  readonly #firstMs: number
  readonly #limitMs: number
  #failures = 0
  #notBefore = 0

  constructor(firstMs: number, limitMs: number) {
    this.#firstMs = firstMs
    this.#limitMs = limitMs
  }

  /** How long the next attempt has to wait, ms; 0 when it may start. */
  waitMs(): number {
    return Math.max(0, this.#notBefore - performance.now())
  }

  /** Notes a failure. Returns the delay before the next attempt, ms. */
  fail(): number {
    const ceiling = Math.min(this.#limitMs, this.#firstMs * 2 ** this.#failures++)
    const delayMs = ceiling * (0.5 + Math.random() / 2)
    this.#notBefore = performance.now() + delayMs
    return delayMs
  }

  reset(): void {
    this.#failures = 0
    this.#notBefore = 0
  }
}

/** A token bucket, of which there are few; those of single sources lie in the `SourceTable`. */
export class Bucket {
  readonly #rate: number
  readonly #full: number
  /** In thousandths of a message, as a rate a second is in milliseconds. */
  #tokens: number
  #lastMs: number | undefined

  /** @param rate messages a second; @param burst messages at once, at least one */
  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#full = this.#tokens = Math.max(1, burst) * 1000
  }

  /** @param price in thousandths of a message */
  take(price: number, nowMs: number): boolean {
    const elapsedMs = Math.max(0, (nowMs - (this.#lastMs ?? nowMs)) | 0)
    this.#lastMs = nowMs
    this.#tokens = Math.min(this.#full, this.#tokens + elapsedMs * this.#rate)
    if (this.#tokens < price) return false
    this.#tokens -= price
    return true
  }
}

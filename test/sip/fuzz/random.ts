/** Reproducible random numbers: one stream for each pair of seed and number, so that any input can be made again alone. */
export class Random {
  #state: number

  constructor(seed: number, number: number) {
    this.#state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(number | 0, 0x85ebca6b)) >>> 0
    // The first values of neighbouring seeds resemble each other.
    this.#next()
    this.#next()
  }

  /** 0…below-1. */
  below(below: number): number {
    return Math.floor((this.#next() / 2 ** 32) * below)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** Small numbers often, large ones seldom. */
  length(most: number): number {
    return this.below(this.below(4) === 0 ? most : Math.min(most, 12)) + 1
  }

  bytes(length: number): string {
    let text = ''
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.below(256))
    return text
  }

  /** mulberry32 */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let z = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z
    return (z ^ (z >>> 14)) >>> 0
  }
}

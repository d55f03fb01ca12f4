/** Random numbers that come again with the same seed (mulberry32). */
export class SeededRandom {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** 0 ≤ n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T
  }

  /** One of these words, as often as its weight says. */
  weighted<const W extends string>(weights: Readonly<Record<W, number>>): W {
    const words = Object.keys(weights) as W[]
    let rest = this.next() * words.reduce((sum, word) => sum + weights[word], 0)
    for (const word of words) {
      rest -= weights[word]
      if (rest < 0) return word
    }
    return words[0] as W
  }
}

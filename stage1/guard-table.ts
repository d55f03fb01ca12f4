import { randomInt } from 'node:crypto'
import type { SourceKey } from './guard-source.ts'

/** The words of an entry, by their offset. Milliseconds are those of a monotonic clock, modulo 2^32. */
export const F = {
  high: 0,
  low: 1,
  /** Of the last message, in milliseconds. */
  lastMs: 2,
  /** What is left in the bucket, in thousandths of a message. */
  tokens: 3,
  /** The flags, and above them the second in which a malformed request was last answered. */
  state: 4,
  /** Offences, and when they were last counted, in milliseconds. */
  score: 5,
  scoredMs: 6,
  /** When the ban or the trust ends, in milliseconds. */
  untilMs: 7,
} as const

const WORDS = 8
const WAYS = 8
const SET_WORDS = WORDS * WAYS

/** How little is lost when an entry is forgotten: the highest goes first, and below 0 none goes. */
export type Dispensable = (entry: number) => number

/**
 * What is known of each source, in one array of 32 bytes an entry: 2^n entries, never more, and nothing for the garbage
 * collector. A source has its place in one of two sets of eight: in the first while half of that is free, which spares
 * most look-ups the second, and else in whichever has more room. Of those who come when 80 % are taken for good, one in a
 * hundred finds no place. The hash is seeded, so that nobody can aim at the place of another.
 */
export class SourceTable {
  readonly words: Int32Array
  readonly #setMask: number
  readonly #seeds = Int32Array.from({ length: 4 }, () => randomInt(0x1_0000_0000) | 0)

  /** @param capacity is rounded up to a power of two */
  constructor(capacity: number) {
    const entries = Math.max(2 * WAYS, 2 ** Math.ceil(Math.log2(capacity)))
    this.words = new Int32Array(entries * WORDS)
    this.#setMask = entries / WAYS - 1
  }

  get bytes(): number {
    return this.words.byteLength
  }

  /** The index of the first word of a source's entry, or -1. */
  find({ high, low }: Readonly<SourceKey>): number {
    const at = this.#findIn(this.#firstSet(high, low), high, low)
    return at >= 0 ? at : this.#findIn(this.#secondSet(high, low), high, low)
  }

  /**
   * An entry for a source that has none, all zero but its key; -1 when neither an empty one is left nor one that may go.
   * The caller must make `state` differ from 0, which marks an empty entry.
   */
  claim(key: Readonly<SourceKey>, dispensable: Dispensable): number {
    const { high, low } = key
    const first = this.#firstSet(high, low)
    const second = this.#secondSet(high, low)
    const empty = this.#emptyIn(first, second)
    const at = empty >= 0 ? empty : mostDispensable(first, second, dispensable)
    if (at < 0) return -1
    this.words.fill(0, at, at + WORDS)
    this.words[at + F.high] = high
    this.words[at + F.low] = low
    return at
  }

  keyAt(entry: number): SourceKey {
    return { high: this.words[entry + F.high] as number, low: this.words[entry + F.low] as number }
  }

  /** Every entry in use. */
  *entries(): Generator<number> {
    for (let at = 0; at < this.words.length; at += WORDS) if (this.words[at + F.state] !== 0) yield at
  }

  #findIn(set: number, high: number, low: number): number {
    const words = this.words
    for (let at = set; at < set + SET_WORDS; at += WORDS) {
      if (words[at + F.low] === low && words[at + F.high] === high && words[at + F.state] !== 0) return at
    }
    return -1
  }

  /** An empty entry of either set, or -1. */
  #emptyIn(first: number, second: number): number {
    const free = this.#room(first)
    const other = free >= WAYS / 2 ? 0 : this.#room(second)
    if (free === 0 && other === 0) return -1
    let at = free >= other ? first : second
    while (this.words[at + F.state] !== 0) at += WORDS
    return at
  }

  #room(set: number): number {
    let room = 0
    for (let at = set; at < set + SET_WORDS; at += WORDS) if (this.words[at + F.state] === 0) room++
    return room
  }

  #firstSet(high: number, low: number): number {
    return this.#set(high, low, this.#seeds[0] as number, this.#seeds[1] as number)
  }

  #secondSet(high: number, low: number): number {
    return this.#set(high, low, this.#seeds[2] as number, this.#seeds[3] as number)
  }

  // The finalizer of MurmurHash3, over both words.
  #set(high: number, low: number, seed: number, step: number): number {
    let h = Math.imul(high ^ seed, 0xcc9e2d51)
    h = Math.imul((h ^ (h >>> 15)) + low + step, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    return ((h ^ (h >>> 16)) & this.#setMask) * SET_WORDS
  }
}

function mostDispensable(first: number, second: number, dispensable: Dispensable): number {
  let best = -1
  let most = -1
  for (const set of [first, second]) {
    for (let at = set; at < set + SET_WORDS; at += WORDS) {
      const worth = dispensable(at)
      if (worth > most) {
        most = worth
        best = at
      }
    }
  }
  return best
}

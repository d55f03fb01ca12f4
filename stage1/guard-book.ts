import type { Config } from '../src/ops/config.ts'
import { formatSource, readSource, type SourceKey } from './guard-source.ts'
import { F, SourceTable } from './guard-table.ts'

/** How long a registration proves its source: the longest that is granted by default. */
const PROVEN_MS = 7_200_000

/** What a message counts from a source that is slowed down. */
const SLOWED_COST = 10

/** The unit of the score: an offence. */
export const OFFENCE = 4096

/** The flags of a source, in the low bits of `F.state`. */
export const FLAG = {
  /** The entry is in use. */
  used: 1,
  /** Somebody has registered from here, so he got our challenge: the address is not forged. */
  proven: 2,
  exempt: 4,
  banned: 8,
  slowed: 16,
} as const

const FLAG_BITS = 8
const FLAGS = (1 << FLAG_BITS) - 1
const SECONDS = 0xff_ffff

export interface BannedSource {
  readonly source: string
  readonly leftMs: number
}

/**
 * What the guard knows of each source, and when it may forget it. An entry is named by its index in the table, and its
 * methods take that; between `look` and them nothing else may be looked up.
 */
export class SourceBook {
  /** The time of what is being done, in whole milliseconds modulo 2^32. */
  nowMs = 0
  readonly #config: Config['stage1']['guard']
  readonly #table: SourceTable
  readonly #words: Int32Array
  readonly #onBanEnd: (source: string) => void
  readonly #full: number
  readonly #limit: number
  /** The source looked at; one object for all saves an allocation a message. */
  readonly #key: SourceKey = { high: 0, low: 0 }

  constructor(config: Config['stage1']['guard'], onBanEnd: (source: string) => void) {
    this.#config = config
    this.#table = new SourceTable(config.maxSources)
    this.#words = this.#table.words
    this.#onBanEnd = onBanEnd
    this.#full = config.burst * 1000
    this.#limit = config.banAfter * OFFENCE
  }

  get bytes(): number {
    return this.#table.bytes
  }

  /** The source looked at last. */
  get key(): Readonly<SourceKey> {
    return this.#key
  }

  /** The entry of a source, or -1. */
  look(address: string, nowMs: number): number {
    this.nowMs = nowMs | 0
    readSource(address, this.#key)
    return this.#table.find(this.#key)
  }

  /** A place for the source looked at, with a full bucket; -1 when there is none. */
  enter(flags: number): number {
    return this.#enter(flags, this.#forgettable)
  }

  /** The flags of an entry, of which those that have run out are cleared. */
  flags(at: number): number {
    const words = this.#words
    const state = words[at + F.state] as number
    if (!(state & (FLAG.banned | FLAG.proven | FLAG.slowed))) return state & FLAGS
    let left = state
    if (state & (FLAG.banned | FLAG.proven) && this.#leftMs(at) <= 0) {
      left &= ~(FLAG.banned | FLAG.proven)
      if (state & FLAG.banned) this.#onBanEnd(formatSource(this.#table.keyAt(at)))
    }
    if (state & FLAG.slowed && this.#score(at) < this.#limit / 2) left &= ~FLAG.slowed
    if (left !== state) words[at + F.state] = left
    return left & FLAGS
  }

  /**
   * Takes from the bucket of an entry what is in it.
   * @param price in thousandths of a message
   */
  take(at: number, flags: number, price: number): boolean {
    const words = this.#words
    const elapsedMs = this.#since(words[at + F.lastMs] as number)
    const tokens = Math.min(this.#full, (words[at + F.tokens] as number) + elapsedMs * this.#config.rate)
    const left = tokens - (flags & FLAG.slowed ? price * SLOWED_COST : price)
    words[at + F.lastMs] = this.nowMs
    words[at + F.tokens] = left < 0 ? tokens : left
    return left >= 0
  }

  /** Counts offences; whether they are too many, those forgotten at `banAfter` per `banWindowSec` not counted. */
  offend(at: number, weight: number): boolean {
    this.#setScore(at, this.#score(at) + weight)
    return (this.#words[at + F.score] as number) >= this.#limit
  }

  /** Somebody has registered from the source looked at, whose entry is `found` or -1. Makes up for `weight` of offences. */
  prove(found: number, weight: number): void {
    const at = found < 0 ? this.#enter(0, this.#forgettableForProven) : found
    if (at < 0) return
    // Who registers is no longer banned: a request from before the ban may be answered after it.
    this.#setFlags(at, FLAG.proven, FLAG.banned)
    this.#words[at + F.untilMs] = (this.nowMs + PROVEN_MS) | 0
    this.#setScore(at, this.#score(at) - weight)
  }

  ban(at: number): void {
    this.#setFlags(at, FLAG.banned)
    this.#words[at + F.untilMs] = (this.nowMs + this.#config.banSec * 1000) | 0
    this.#setScore(at, 0)
  }

  slow(at: number): void {
    this.#setFlags(at, FLAG.slowed)
  }

  /** Whether it is the first time in this second that this is asked of an entry. */
  isFirstInSecond(at: number, second: number): boolean {
    const state = this.#words[at + F.state] as number
    // Not 0, which stands for never.
    const mark = (second + 1) & SECONDS
    if (state >>> FLAG_BITS === mark) return false
    this.#words[at + F.state] = (mark << FLAG_BITS) | (state & FLAGS)
    return true
  }

  *banned(nowMs: number): Generator<BannedSource> {
    for (const at of this.#table.entries()) {
      const leftMs = ((this.#words[at + F.untilMs] as number) - nowMs) | 0
      const isBanned = (this.#words[at + F.state] as number) & FLAG.banned && leftMs > 0
      if (isBanned) yield { source: formatSource(this.#table.keyAt(at)), leftMs }
    }
  }

  #enter(flags: number, dispensable: (at: number) => number): number {
    const at = this.#table.claim(this.#key, dispensable)
    if (at < 0) return -1
    this.#words[at + F.state] = FLAG.used | flags
    this.#words[at + F.lastMs] = this.nowMs
    this.#words[at + F.tokens] = this.#full
    return at
  }

  /** What goes for a newcomer: nothing that says more than its absence would, the longest idle first; then bans. */
  readonly #forgettable = (at: number): number => {
    const state = this.#words[at + F.state] as number
    const idleMs = this.#since(this.#words[at + F.lastMs] as number)
    if (state & FLAG.exempt) return 1 + idleMs
    const leftMs = this.#leftMs(at)
    if (state & FLAG.proven && leftMs > 0) return -1
    if (state & FLAG.banned && leftMs > 0) return 1 / (1 + leftMs)
    const tokens = (this.#words[at + F.tokens] as number) + idleMs * this.#config.rate
    return tokens >= this.#full && this.#score(at) === 0 ? 1 + idleMs : -1
  }

  /** What goes for somebody who has registered: a stranger who is busy, too. */
  readonly #forgettableForProven = (at: number): number => {
    const worth = this.#forgettable(at)
    return worth < 0 && !((this.#words[at + F.state] as number) & FLAG.proven) ? 0 : worth
  }

  #setFlags(at: number, set: number, clear = 0): void {
    this.#words[at + F.state] = ((this.#words[at + F.state] as number) & ~clear) | set
  }

  #score(at: number): number {
    const elapsedMs = this.#since(this.#words[at + F.scoredMs] as number)
    const forgotten = (elapsedMs * this.#limit) / (this.#config.banWindowSec * 1000)
    return Math.max(0, (this.#words[at + F.score] as number) - forgotten)
  }

  #setScore(at: number, score: number): void {
    this.#words[at + F.score] = Math.min(Math.max(0, score), 2 * this.#limit)
    this.#words[at + F.scoredMs] = this.nowMs
  }

  #leftMs(at: number): number {
    return ((this.#words[at + F.untilMs] as number) - this.nowMs) | 0
  }

  /** Of a batch and of what is done in between, the times may be out of order by a little. */
  #since(ms: number): number {
    return Math.max(0, (this.nowMs - ms) | 0)
  }
}

import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import type { Message } from '../src/sip/message.ts'
import { Bucket } from './guard-bucket.ts'
import { ScannerNames } from './guard-scanners.ts'
import { formatSource, Networks, readSource, type SourceKey } from './guard-source.ts'
import { F, SourceTable } from './guard-table.ts'

/** What a keep-alive (CRLF, STUN) counts, in messages: it is not parsed. */
export const KEEP_ALIVE_COST = 0.25

/** What a message counts from a source that is slowed down. */
const SLOWED_COST = 10

/** How long a registration proves its source: the longest that is granted by default. */
const PROVEN_MS = 7_200_000

/** The unit of the score: an offence. The others relate to it. */
const OFFENCE = 4096
/**
 * A challenge that nobody has answered yet. A thousand phones behind one router that come back together draw a thousand
 * challenges before the first of them has registered: that many must not add up to a ban.
 */
const CHALLENGE = OFFENCE / 32
/** Of a registration: where there are many good phones, one with a wrong password must not matter. */
const MAKES_UP_FOR = 2 * OFFENCE

/** Lines about bans in a second; forged sources could fill the disk. */
const MAX_BAN_LINES = 100

const USED = 1
/** Somebody has registered from here, so he got our challenge: the address is not forged. */
const PROVEN = 2
const EXEMPT = 4
const BANNED = 8
const SLOWED = 16
const FLAGS = 0xff

export interface GuardOptions {
  readonly config: Config['stage1']['guard']
  readonly clock: Clock
  readonly log: Pick<Logger, 'debug' | 'warn'>
}

export interface GuardCounters {
  admitted: number
  /** Dropped: over the rate of its source. */
  limited: number
  /** Dropped: over the common rate of the sources from which nobody has registered. */
  strangers: number
  /** Dropped: from a banned source. */
  banned: number
  /** Requests dropped for what their User-Agent says. */
  scanners: number
  /** Messages of sources for which there was no place in the table, admitted or not. */
  tableFull: number
  /** Bans imposed. */
  bans: number
}

/** A ban in force. */
export interface Ban {
  /** `192.0.2.1` or `2001:db8:0:7::/64` */
  readonly source: string
  readonly endsInSec: number
}

/**
 * What stands at the outside face before a message is parsed: one for each worker. It tells three kinds of source apart.
 * The exempt pass. *Proven* ones, from which somebody has registered, have a rate each. *Strangers*, all others, have one
 * each too, and one in common, since a forged source costs its sender nothing and a flood of them would starve everybody.
 *
 * What is over a rate is dropped without an answer: where the source is forged, an answer would hit somebody else.
 *
 * The memory is fixed (`SourceTable`), and forgetting is safe where it matters: the entry that goes is a stranger's whose
 * bucket is full again, which says no more than none would, the longest idle first; then the ban that ends first. Proven
 * sources stay. A newcomer without a place lives on a rate that all such share.
 *
 * A source is banned for calling itself a scanner and for its offences, of which so many are forgotten each second. But
 * anybody can forge these over UDP: so a proven source is not banned, which would shut out its good phones, but slowed.
 *
 * rate-limiter-flexible, limiter and lru-cache were measured for this: 1020, 110 and 90 ns for a known source, and 460,
 * 270 and 125 bytes for each (Node 20). None can say which sources are to be kept when forged ones fill the memory.
 */
export class Guard {
  readonly counters: GuardCounters = {
    ...{ admitted: 0, limited: 0, strangers: 0, banned: 0, scanners: 0, tableFull: 0, bans: 0 },
  }
  readonly #clock: Clock
  readonly #log: GuardOptions['log']
  readonly #config: GuardOptions['config']
  readonly #table: SourceTable
  readonly #words: Int32Array
  readonly #exempt: Networks
  readonly #scanners: ScannerNames
  readonly #strangers: Bucket
  readonly #placeless: Bucket
  readonly #full: number
  readonly #limit: number
  /** The source that is being looked at; one object for all saves an allocation a message. */
  readonly #key: SourceKey = { high: 0, low: 0 }
  #nowMs = 0
  #placelessAnsweredSec = -1
  #summary: Timer | undefined
  #summarised: GuardCounters = { ...this.counters }
  #banLines = 0

  constructor({ config, clock, log }: GuardOptions) {
    this.#config = config
    this.#clock = clock
    this.#log = log
    this.#table = new SourceTable(config.maxSources)
    this.#words = this.#table.words
    this.#exempt = new Networks(config.exempt)
    this.#scanners = new ScannerNames(config.scanners)
    this.#strangers = new Bucket(config.strangersPerSec, config.strangersPerSec)
    this.#placeless = new Bucket(config.strangersPerSec / 2, config.strangersPerSec / 2)
    this.#full = config.burst * 1000
    this.#limit = config.banAfter * OFFENCE
  }

  /** Of the table, whatever happens. */
  get bytes(): number {
    return this.#table.bytes
  }

  /**
   * Whether to look at a message; if not, it is dropped and counted. Asked for every message and keep-alive from outside
   * before anything else is done with it.
   * @param nowMs `monotonicMs()` of the clock, taken once for a batch: reading it costs as much as the rest
   * @param cost in messages: `KEEP_ALIVE_COST` for what is no SIP
   */
  admits(source: Endpoint, nowMs = this.#clock.monotonicMs(), cost = 1): boolean {
    this.#nowMs = nowMs | 0
    readSource(source.address, this.#key)
    const at = this.#table.find(this.#key)
    const isAdmitted = at < 0 ? this.#admitsNewcomer(cost * 1000) : this.#admitsKnown(at, cost * 1000)
    if (isAdmitted) this.counters.admitted++
    else if (!this.#summary) this.#summariseLater()
    return isAdmitted
  }

  /** Whether a connection from there is worth accepting. */
  isBanned(source: Endpoint): boolean {
    const at = this.#look(source)
    return at >= 0 && (this.#stateOf(at) & BANNED) !== 0
  }

  /**
   * Asked for every request that has been admitted and parsed.
   * @returns false: it is a scanner's, to be dropped without an answer
   */
  noteRequest(request: Message, source: Endpoint): boolean {
    const name = this.#scanners.find(request)
    if (name === undefined) return true
    const at = this.#look(source)
    const state = at < 0 ? 0 : this.#stateOf(at)
    if (state & EXEMPT) return true
    this.counters.scanners++
    if (at >= 0 && (state & (PROVEN | BANNED)) === 0) this.#ban(at, source, `User-Agent ${name}`)
    return false
  }

  /**
   * For each message that was refused or dropped here for what no honest client does: 403, 404 to a request for the node,
   * 400 and the like for what is malformed, no SIP at all, a response to nothing. Not for what may befall anybody: 430,
   * 478, 483, 503.
   */
  noteRefused(source: Endpoint): void {
    this.#offend(source, OFFENCE)
  }

  /**
   * For each final answer that leaves to `source`, from whichever side it came.
   * @param method of its CSeq
   * @param hadCredentials whether the request had an Authorization or Proxy-Authorization: a challenge then says that they were wrong
   */
  noteAnswer(source: Endpoint, status: number, method: string, hadCredentials = false): void {
    if (status < 200) return
    if (status < 300) {
      if (method === 'REGISTER') this.#prove(source)
    } else if (status === 401 || status === 407) this.#offend(source, hadCredentials ? OFFENCE : CHALLENGE)
    else if (status === 403 || status === 404) this.#offend(source, OFFENCE)
  }

  /** Whether a malformed request may be answered: for each source once a second, as there is no client to help by more. */
  mayAnswerDefect(source: Endpoint): boolean {
    const at = this.#look(source)
    const second = (Math.floor(this.#clock.monotonicMs() / 1000) + 1) & 0xff_ffff
    if (at < 0) {
      if (this.#placelessAnsweredSec === second) return false
      this.#placelessAnsweredSec = second
      return true
    }
    const state = this.#words[at + F.state] as number
    if (state & EXEMPT) return true
    if (state >>> 8 === second) return false
    this.#words[at + F.state] = (second << 8) | (state & FLAGS)
    return true
  }

  /** The bans in force, for operators. */
  *banned(): Generator<Ban> {
    const nowMs = this.#clock.monotonicMs() | 0
    for (const at of this.#table.entries()) {
      const leftMs = ((this.#words[at + F.untilMs] as number) - nowMs) | 0
      if (!((this.#words[at + F.state] as number) & BANNED) || leftMs <= 0) continue
      yield { source: formatSource(this.#table.keyAt(at)), endsInSec: Math.ceil(leftMs / 1000) }
    }
  }

  close(): void {
    this.#summary?.cancel()
  }

  #admitsKnown(at: number, price: number): boolean {
    const words = this.#words
    let state = words[at + F.state] as number
    if (state & (BANNED | PROVEN | SLOWED)) state = this.#stateOf(at)
    if (state & EXEMPT) return true
    if (state & BANNED) {
      this.counters.banned++
      return false
    }
    const elapsedMs = Math.max(0, (this.#nowMs - (words[at + F.lastMs] as number)) | 0)
    const tokens = Math.min(this.#full, (words[at + F.tokens] as number) + elapsedMs * this.#config.rate)
    const left = tokens - (state & SLOWED ? price * SLOWED_COST : price)
    words[at + F.lastMs] = this.#nowMs
    words[at + F.tokens] = left < 0 ? tokens : left
    if (left < 0) {
      this.counters.limited++
      return false
    }
    return (state & PROVEN) !== 0 || this.#admitsStranger(price)
  }

  #admitsStranger(price: number): boolean {
    if (this.#strangers.take(price, this.#nowMs)) return true
    this.counters.strangers++
    return false
  }

  #admitsNewcomer(price: number): boolean {
    if (this.#exempt.has(this.#key)) {
      this.#enter(EXEMPT, this.#forgettable)
      return true
    }
    // Before it gets a place: a flood that is dropped should not move anything.
    if (!this.#admitsStranger(price)) return false
    const at = this.#enter(0, this.#forgettable)
    if (at >= 0) {
      this.#words[at + F.tokens] = this.#full - price
      return true
    }
    this.counters.tableFull++
    if (this.#placeless.take(price, this.#nowMs)) return true
    this.counters.strangers++
    return false
  }

  /** A place for the source in `#key`, or -1. */
  #enter(flags: number, dispensable: (at: number) => number): number {
    const at = this.#table.claim(this.#key, dispensable)
    if (at < 0) return -1
    this.#words[at + F.state] = USED | flags
    this.#words[at + F.lastMs] = this.#nowMs
    this.#words[at + F.tokens] = this.#full
    return at
  }

  /** What goes for a newcomer: nothing that says more than its absence would, the longest idle first; then bans. */
  readonly #forgettable = (at: number): number => {
    const words = this.#words
    const state = words[at + F.state] as number
    const leftMs = ((words[at + F.untilMs] as number) - this.#nowMs) | 0
    const idleMs = Math.max(0, (this.#nowMs - (words[at + F.lastMs] as number)) | 0)
    if (state & EXEMPT) return 1 + idleMs
    if (state & PROVEN && leftMs > 0) return -1
    if (state & BANNED && leftMs > 0) return 1 / (1 + leftMs)
    const isFull = (words[at + F.tokens] as number) + idleMs * this.#config.rate >= this.#full
    return isFull && this.#scoreOf(at) === 0 ? 1 + idleMs : -1
  }

  /** What goes for somebody who has registered: a stranger who is busy, too. */
  readonly #forgettableForProven = (at: number): number => {
    const worth = this.#forgettable(at)
    return worth < 0 && !((this.#words[at + F.state] as number) & PROVEN) ? 0 : worth
  }

  /** For what is not asked message by message: sets the time and finds the entry. */
  #look(source: Endpoint): number {
    this.#nowMs = this.#clock.monotonicMs() | 0
    readSource(source.address, this.#key)
    return this.#table.find(this.#key)
  }

  /** The flags of an entry, of which those that have run out are cleared. */
  #stateOf(at: number): number {
    const words = this.#words
    let state = words[at + F.state] as number
    if (state & (BANNED | PROVEN) && (((words[at + F.untilMs] as number) - this.#nowMs) | 0) <= 0) {
      if (state & BANNED) this.#log.debug(`guard: ban of ${formatSource(this.#table.keyAt(at))} has ended`)
      state &= ~(BANNED | PROVEN)
    }
    if (state & SLOWED && this.#scoreOf(at) < this.#limit / 2) state &= ~SLOWED
    words[at + F.state] = state
    return state
  }

  /** Offences that are not yet forgotten. */
  #scoreOf(at: number): number {
    const elapsedMs = Math.max(0, (this.#nowMs - (this.#words[at + F.scoredMs] as number)) | 0)
    const forgotten = (elapsedMs * this.#limit) / (this.#config.banWindowSec * 1000)
    return Math.max(0, (this.#words[at + F.score] as number) - forgotten)
  }

  #setScore(at: number, score: number): void {
    this.#words[at + F.score] = Math.min(Math.max(0, score), 2 * this.#limit)
    this.#words[at + F.scoredMs] = this.#nowMs
  }

  #offend(source: Endpoint, weight: number): void {
    const at = this.#look(source)
    const state = at < 0 ? EXEMPT : this.#stateOf(at)
    if (this.#limit === 0 || state & (EXEMPT | BANNED)) return
    this.#setScore(at, this.#scoreOf(at) + weight)
    if ((this.#words[at + F.score] as number) < this.#limit) return
    if (!(state & PROVEN)) this.#ban(at, source, 'too many refused requests')
    else if (!(state & SLOWED)) this.#slow(at, source)
  }

  #prove(source: Endpoint): void {
    const found = this.#look(source)
    if (found >= 0 && this.#stateOf(found) & EXEMPT) return
    const at = found < 0 ? this.#enter(0, this.#forgettableForProven) : found
    if (at < 0) return
    // Who registers is no longer banned: a request from before the ban may be answered after it.
    this.#words[at + F.state] = ((this.#words[at + F.state] as number) & ~BANNED) | PROVEN
    this.#words[at + F.untilMs] = (this.#nowMs + PROVEN_MS) | 0
    this.#setScore(at, this.#scoreOf(at) - MAKES_UP_FOR)
  }

  #ban(at: number, { address }: Endpoint, reason: string): void {
    const { banSec } = this.#config
    this.#words[at + F.state] = (this.#words[at + F.state] as number) | BANNED
    this.#words[at + F.untilMs] = (this.#nowMs + banSec * 1000) | 0
    this.#setScore(at, 0)
    this.counters.bans++
    this.#banLines++
    if (this.#banLines <= MAX_BAN_LINES) this.#log.warn(`guard: banned ${address} for ${banSec} s: ${reason}`)
    if (!this.#summary) this.#summariseLater()
  }

  #slow(at: number, { address }: Endpoint): void {
    this.#words[at + F.state] = (this.#words[at + F.state] as number) | SLOWED
    this.#log.warn(
      `guard: slowed ${address}: too many refused requests, but somebody has registered from there`,
    )
  }

  #summariseLater(): void {
    this.#summary = this.#clock.schedule(1000, () => this.#summarise())
  }

  /** One line for all that was dropped within a second: a line for each would be the attacker's way to fill the disk. */
  #summarise(): void {
    this.#summary = undefined
    const before = this.#summarised
    this.#summarised = { ...this.counters }
    const { limited, strangers, banned } = this.counters
    const since = {
      overRate: limited - before.limited,
      strangers: strangers - before.strangers,
      banned: banned - before.banned,
      noPlace: this.counters.tableFull - before.tableFull,
    }
    const unsaid = this.#banLines - MAX_BAN_LINES
    this.#banLines = 0
    if (unsaid > 0) this.#log.warn(`guard: banned ${unsaid} more`)
    const level = since.overRate + since.strangers > 0 ? 'warn' : 'debug'
    this.#log[level](since, `guard: dropped ${since.overRate + since.strangers + since.banned} messages`)
  }
}

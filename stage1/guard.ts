import type { Clock } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import type { Message } from '../src/sip/message.ts'
import { FLAG, OFFENCE, SourceBook } from './guard-book.ts'
import { Bucket } from './guard-bucket.ts'
import { type Drops, GuardLog } from './guard-log.ts'
import { ScannerNames } from './guard-scanners.ts'
import { Networks } from './guard-source.ts'

/** What a keep-alive (CRLF, STUN) counts, in messages: it is not parsed. */
export const KEEP_ALIVE_COST = 0.25

/**
 * A challenge that nobody has answered yet. A thousand phones behind one router that come back together draw a thousand
 * challenges before the first of them has registered: that many must not add up to a ban.
 */
const CHALLENGE = OFFENCE / 32
/** What strangers may send at once, in seconds of their rate: what comes at once has to fit into stage 2's socket buffer. */
const STRANGERS_BURST_SEC = 0.25

/** Of a registration: where there are many good phones, one with a wrong password must not matter. */
const MAKES_UP_FOR = 2 * OFFENCE

export interface GuardOptions {
  readonly config: Config['stage1']['guard']
  readonly clock: Clock
  readonly log: Pick<Logger, 'debug' | 'warn'>
}

export interface GuardCounters extends Drops {
  admitted: number
  /** Requests dropped for what their User-Agent says. */
  scanners: number
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
    admitted: 0,
    limited: 0,
    strangers: 0,
    banned: 0,
    scanners: 0,
    tableFull: 0,
    bans: 0,
  }
  readonly #config: GuardOptions['config']
  readonly #clock: Clock
  readonly #log: GuardLog
  readonly #book: SourceBook
  readonly #exempt: Networks
  readonly #scanners: ScannerNames
  readonly #strangers: Bucket
  readonly #placeless: Bucket
  #placelessAnsweredSec = -1

  constructor({ config, clock, log }: GuardOptions) {
    this.#config = config
    this.#clock = clock
    this.#log = new GuardLog(log, clock, this.counters)
    this.#book = new SourceBook(config, (source) => this.#log.banEnded(source))
    this.#exempt = new Networks(config.exempt)
    this.#scanners = new ScannerNames(config.scanners)
    const { strangersRate } = config
    this.#strangers = new Bucket(strangersRate, strangersRate * STRANGERS_BURST_SEC)
    this.#placeless = new Bucket(strangersRate / 2, (strangersRate / 2) * STRANGERS_BURST_SEC)
  }

  /** Of all that is remembered, whatever happens. */
  get bytes(): number {
    return this.#book.bytes
  }

  /**
   * Whether to look at a message; if not, it is dropped and counted. Asked for every message and keep-alive from outside
   * before anything else is done with it.
   * @param nowMs `monotonicMs()` of the clock, taken once for a batch: reading it costs as much as the rest
   * @param cost in messages: `KEEP_ALIVE_COST` for what is no SIP
   */
  admits(source: Endpoint, nowMs = this.#clock.monotonicMs(), cost = 1): boolean {
    const at = this.#book.look(source.address, nowMs)
    const isAdmitted = at < 0 ? this.#admitsNewcomer(cost * 1000) : this.#admitsKnown(at, cost * 1000)
    if (isAdmitted) this.counters.admitted++
    else this.#log.dropped()
    return isAdmitted
  }

  /** Whether a connection from there is to be refused. */
  isBanned(source: Endpoint): boolean {
    const at = this.#look(source)
    return at >= 0 && (this.#book.flags(at) & FLAG.banned) !== 0
  }

  /**
   * Asked for every request that has been admitted and parsed.
   * @returns false: it is a scanner's, to be dropped without an answer
   */
  noteRequest(request: Message, source: Endpoint): boolean {
    const name = this.#scanners.find(request)
    if (name === undefined) return true
    const at = this.#look(source)
    const flags = at < 0 ? 0 : this.#book.flags(at)
    if (flags & FLAG.exempt) return true
    this.counters.scanners++
    if (at >= 0 && !(flags & (FLAG.proven | FLAG.banned))) this.#ban(at, source, `User-Agent ${name}`)
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
   * For each final answer that leaves to `source` and came from inside.
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

  /** Whether a malformed request may be answered: for each source once a second, as more would help nobody. */
  mayAnswerDefect(source: Endpoint): boolean {
    const at = this.#look(source)
    const second = Math.floor(this.#clock.monotonicMs() / 1000)
    if (at >= 0) return (this.#book.flags(at) & FLAG.exempt) !== 0 || this.#book.isFirstInSecond(at, second)
    if (this.#placelessAnsweredSec === second) return false
    this.#placelessAnsweredSec = second
    return true
  }

  /** The bans in force, for operators. */
  *banned(): Generator<Ban> {
    for (const { source, leftMs } of this.#book.banned(this.#clock.monotonicMs()))
      yield { source, endsInSec: Math.ceil(leftMs / 1000) }
  }

  close(): void {
    this.#log.close()
  }

  #admitsKnown(at: number, price: number): boolean {
    const flags = this.#book.flags(at)
    if (flags & FLAG.exempt) return true
    if (flags & FLAG.banned) {
      this.counters.banned++
      return false
    }
    if (!this.#book.take(at, flags, price)) {
      this.counters.limited++
      return false
    }
    return (flags & FLAG.proven) !== 0 || this.#admitsStranger(this.#strangers, price)
  }

  #admitsNewcomer(price: number): boolean {
    if (this.#exempt.has(this.#book.key)) {
      this.#book.enter(FLAG.exempt)
      return true
    }
    // Before it gets a place: a flood that is dropped should not move anything.
    if (!this.#admitsStranger(this.#strangers, price)) return false
    const at = this.#book.enter(0)
    if (at >= 0) return this.#book.take(at, 0, price)
    this.counters.tableFull++
    this.#log.dropped()
    return this.#admitsStranger(this.#placeless, price)
  }

  #admitsStranger(bucket: Bucket, price: number): boolean {
    if (bucket.take(price, this.#book.nowMs)) return true
    this.counters.strangers++
    return false
  }

  #look(source: Endpoint): number {
    return this.#book.look(source.address, this.#clock.monotonicMs())
  }

  #offend(source: Endpoint, weight: number): void {
    const at = this.#look(source)
    if (at < 0 || this.#config.banAfter === 0) return
    const flags = this.#book.flags(at)
    if (flags & (FLAG.exempt | FLAG.banned) || !this.#book.offend(at, weight)) return
    if (!(flags & FLAG.proven)) this.#ban(at, source, 'too many refused requests')
    else if (!(flags & FLAG.slowed)) {
      this.#book.slow(at)
      this.#log.slowed(source.address)
    }
  }

  #prove(source: Endpoint): void {
    const at = this.#look(source)
    const isExempt = at < 0 ? this.#exempt.has(this.#book.key) : (this.#book.flags(at) & FLAG.exempt) !== 0
    if (!isExempt) this.#book.prove(at, MAKES_UP_FOR)
  }

  #ban(at: number, { address }: Endpoint, reason: string): void {
    this.#book.ban(at)
    this.counters.bans++
    this.#log.banned(address, this.#config.banSec, reason)
  }
}

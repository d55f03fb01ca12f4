import type { Clock } from '../../ops/clock.ts'
import { type Endpoint, isReliable } from '../endpoint.ts'
import { type Message, parseMessage } from '../message.ts'
import { ClientTransaction, type ClientUser } from './client-transaction.ts'
import { newCounters, type OpenCounter, type TransactionCounters } from './counters.ts'
import {
  cancellable,
  clientKey,
  isLegacy,
  legacyAckKey,
  mergeKey as mergeKeyOf,
  serverKey,
} from './matching.ts'
import { ServerTransaction, type ServerUser } from './server-transaction.ts'
import { defaultTimerValues, type TimerDurations, type TimerValues, timerDurations } from './timers.ts'
import type { Host, Transaction } from './transaction.ts'
import { Unanswered } from './unanswered.ts'

/** The transaction user (RFC 3261 §5): what a proxy core or a UA core hears that belongs to no transaction yet. */
export interface TransactionUser {
  /**
   * A request that matches nothing. To answer it in a transaction call {@link TransactionLayer.serve} before this
   * returns: until then a copy of it is a new request again. Or treat it statelessly. A CANCEL comes here if its
   * INVITE is unknown: a proxy forwards it statelessly (§16.10), a UAS answers 481 (§9.2).
   */
  request(request: Message, source: Endpoint): void
  /** An ACK to a 2xx. `transaction` is its INVITE's if that is open and shares its branch, as with old clients. */
  ack(ack: Message, source: Endpoint, transaction: ServerTransaction | undefined): void
  /**
   * A response that matches nothing. A stateful proxy and a UA drop it (RFC 6026 §7.3, §8.9); it is here for those
   * that also forward requests statelessly, and know their own branches.
   */
  strayResponse?(response: Message, source: Endpoint): void
}

export interface TransactionLayerOptions {
  readonly clock: Clock
  /** May report by {@link TransactionLayer.transportError} at once, or whenever it finds out. */
  readonly send: (text: string, to: Endpoint) => void
  readonly timers?: Partial<TimerValues>
  /** Peers whose branches are unique by themselves: their requests are matched without the sent-by. */
  readonly trusts?: (source: Endpoint) => boolean
  /** Remember From tag, Call-ID and CSeq of what is open, for {@link ServerTransaction.merged}. */
  readonly detectMerged?: boolean
  /** When so many are open, {@link TransactionLayer.serve} refuses. Default 500,000: about 1 GB, at 2 kB each. */
  readonly maxTransactions?: number
}

export interface RequestOptions {
  /** The request is an INVITE that a proxy forwards: Timer C bounds it (§16.6 step 11). */
  readonly timerC?: boolean
}

/**
 * Finds the transaction of each message (RFC 3261 §17.1.3, §17.2.3), and gives it the means to perform what its
 * table says. Everything is synchronous; nothing throws on what a peer sends.
 */
export class TransactionLayer {
  readonly counters: Readonly<TransactionCounters>
  #counters = newCounters()
  #user: TransactionUser
  #trusts: (source: Endpoint) => boolean
  #detectMerged: boolean
  #maxTransactions: number
  #host: Host
  #durations: (invite: boolean, reliable: boolean) => TimerDurations

  #clients = new Map<string, ClientTransaction>()
  #unanswered = new Unanswered()
  #servers = new Map<string, ServerTransaction>()
  #legacyAcks = new Map<string, ServerTransaction>()
  /** How many open transactions share From tag, Call-ID and CSeq. */
  #merging = new Map<string, number>()

  /** Of the message that is being received. */
  #source: Endpoint | undefined
  /** The request that the user is hearing of, with its key, which {@link serve} then need not make again. */
  #heard: { request: Message; key: string } | undefined

  constructor(options: TransactionLayerOptions, user: TransactionUser) {
    const values = { ...defaultTimerValues, ...options.timers }
    this.counters = this.#counters
    this.#user = user
    this.#trusts = options.trusts ?? (() => false)
    this.#detectMerged = options.detectMerged ?? false
    this.#maxTransactions = options.maxTransactions ?? 500_000
    this.#durations = durationTable(values)
    this.#host = {
      clock: options.clock,
      values,
      counters: this.#counters,
      send: options.send,
      request: (text, to, hearer) => this.request(text, to, hearer),
      answered: (transaction) => this.#unanswered.delete(transaction, transaction.to),
      acknowledged: (ack, transaction) => this.#passAck(ack, transaction),
      awaitAck: (transaction, ackKey) => this.#legacyAcks.set(ackKey, transaction),
      clientEnded: (transaction) => this.#clientEnded(transaction),
      serverEnded: (transaction) => this.#serverEnded(transaction),
    }
  }

  /** Transactions open now. */
  get open(): number {
    return this.#clients.size + this.#servers.size
  }

  /** What all its tables hold, for leak checks; 0 when nothing is open. */
  get entries(): number {
    return this.open + this.#unanswered.targets + this.#legacyAcks.size + this.#merging.size
  }

  /** A message from the network, well-formed as far as matching needs: without a usable top Via it is dropped. */
  receive(message: Message, source: Endpoint): void {
    this.#source = source
    if (!message.isRequest) this.#receiveResponse(message, source)
    else if (message.method === 'ACK') this.#receiveAck(message, source)
    else this.#receiveRequest(message, source)
  }

  /**
   * Opens the server transaction of a new request.
   * @returns undefined if `maxTransactions` are open: to be refused statelessly, with 503. What is open already goes
   * on: its client transactions and CANCELs are not refused.
   */
  serve(request: Message, source: Endpoint, user: ServerUser): ServerTransaction | undefined {
    if (this.open >= this.#maxTransactions) {
      this.#counters.refused++
      return undefined
    }
    const heard = this.#heard
    const key =
      heard?.request === request ? heard.key : serverKey(request, request.method, this.#trusts(source))
    if (key === undefined) throw new Error('a request without a Via has no transaction')
    if (this.#servers.has(key)) throw new Error(`the ${request.method} is being served already`)
    return this.#open(request, source, key, user)
  }

  /**
   * Sends a request, not an ACK, in a client transaction.
   * @param text with a top Via of ours, whose branch has never been used (see {@link newBranch})
   */
  request(text: string, to: Endpoint, user: ClientUser, options: RequestOptions = {}): ClientTransaction {
    const message = parseMessage(text)
    const method = message?.requestMethod ?? ''
    const branch = message?.topVia?.branch ?? ''
    const key = clientKey(method, branch)
    if (method === '' || method === 'ACK' || branch === '' || this.#clients.has(key)) {
      throw new Error(`no client transaction for ${method} with branch ${branch}`)
    }
    const durations = this.#durations(method === 'INVITE', isReliable(to))
    const timerC = options.timerC ?? false
    const transaction = new ClientTransaction(this.#host, { method, key, to, durations, timerC }, user)
    this.#clients.set(key, transaction)
    this.#counters[clientCounter(transaction)]++
    this.#unanswered.add(transaction, to)
    transaction.dispatch('request', text)
    return transaction
  }

  /**
   * Something could not be sent (§17.1.4, §17.2.4).
   * @param text what could not be; without it, as with an ICMP error, every client transaction fails that has heard
   * nothing from `to` yet
   */
  transportError(to: Endpoint, text?: string): void {
    if (text === undefined) {
      for (const transaction of this.#unanswered.of(to)) transaction.dispatch('transportError')
      return
    }
    const message = parseMessage(text)
    const transaction = message?.isRequest ? this.#clientOf(message) : message && this.#serverOf(message)
    transaction?.dispatch('transportError')
  }

  /** Ends everything without a word to anybody: no timer remains. */
  close(): void {
    for (const transaction of this.#clients.values()) transaction.abandon()
    for (const transaction of this.#servers.values()) transaction.abandon()
  }

  #receiveResponse(response: Message, source: Endpoint): void {
    if (!response.topVia || response.status === 0) return
    const transaction = this.#clientOf(response)
    if (transaction) {
      transaction.receive(response)
      return
    }
    this.#counters.strayResponses++
    this.#user.strayResponse?.(response, source)
  }

  #receiveAck(ack: Message, source: Endpoint): void {
    const key = isLegacy(ack)
      ? legacyAckKey(ack, ack.to?.tag)
      : serverKey(ack, 'INVITE', this.#trusts(source))
    if (key === undefined) return
    const transaction = this.#legacyAcks.get(key) ?? this.#servers.get(key)
    if (transaction) transaction.dispatch('ack', ack)
    else this.#passAck(ack, undefined)
  }

  #passAck(ack: Message, transaction: ServerTransaction | undefined): void {
    this.#counters.acksPassed++
    this.#user.ack(ack, this.#source as Endpoint, transaction)
  }

  #receiveRequest(request: Message, source: Endpoint): void {
    const trusted = this.#trusts(source)
    const key = serverKey(request, request.method, trusted)
    if (key === undefined) return
    const transaction = this.#servers.get(key)
    if (transaction) {
      this.#counters.retransmissionsReceived++
      transaction.receive(request, source, trusted)
      return
    }
    if (request.method === 'CANCEL' && this.#receiveCancel(request, source, key, trusted)) return
    this.#heard = { request, key }
    try {
      this.#user.request(request, source)
    } finally {
      this.#heard = undefined
    }
  }

  /** @returns false if there is nothing to be cancelled. */
  #receiveCancel(cancel: Message, source: Endpoint, key: string, trusted: boolean): boolean {
    const target = this.#cancelledBy(cancel, trusted)
    if (!target) {
      this.#counters.strayCancels++
      return false
    }
    // §9.2 and §16.10 agree: 200, whether or not it still has an effect.
    const transaction = this.#open(cancel, source, key, {})
    transaction.reply(200, { toTag: target.cancelTag })
    target.dispatch('cancel', cancel)
    return true
  }

  #cancelledBy(cancel: Message, trusted: boolean): ServerTransaction | undefined {
    for (const method of cancellable) {
      const target = this.#servers.get(serverKey(cancel, method, trusted) as string)
      if (target) return target
    }
    return undefined
  }

  #open(request: Message, source: Endpoint, key: string, user: ServerUser): ServerTransaction {
    const mergeKey = this.#detectMerged ? mergeKeyOf(request) : undefined
    const merged = mergeKey !== undefined && this.#countMerging(mergeKey, 1) > 1
    if (merged) this.#counters.merged++
    const durations = this.#durations(request.method === 'INVITE', isReliable(source))
    const spec = { request, source, key, mergeKey, merged, durations }
    const transaction = new ServerTransaction(this.#host, spec, user)
    this.#servers.set(key, transaction)
    this.#counters[serverCounter(transaction)]++
    transaction.dispatch('request')
    return transaction
  }

  #clientEnded(transaction: ClientTransaction): void {
    this.#clients.delete(transaction.key)
    this.#unanswered.delete(transaction, transaction.to)
    this.#counters[clientCounter(transaction)]--
  }

  #serverEnded(transaction: ServerTransaction): void {
    const { key, ackKey, mergeKey } = transaction
    this.#servers.delete(key)
    if (ackKey !== undefined) this.#legacyAcks.delete(ackKey)
    if (mergeKey !== undefined) this.#countMerging(mergeKey, -1)
    this.#counters[serverCounter(transaction)]--
  }

  #countMerging(key: string, change: 1 | -1): number {
    const count = (this.#merging.get(key) ?? 0) + change
    if (count > 0) this.#merging.set(key, count)
    else this.#merging.delete(key)
    return count
  }

  /** Of a response received, or of a request sent: the ACK belongs to its INVITE. */
  #clientOf(message: Message): ClientTransaction | undefined {
    const method = message.method === 'ACK' ? 'INVITE' : message.method
    return this.#clients.get(clientKey(method, message.topVia?.branch ?? ''))
  }

  /** Of a response sent. */
  #serverOf(response: Message): ServerTransaction | undefined {
    const get = (trusted: boolean) => this.#servers.get(serverKey(response, response.method, trusted) ?? '')
    return get(false) ?? get(true)
  }
}

const clientCounter = (transaction: Transaction): OpenCounter =>
  transaction.isInvite ? 'inviteClients' : 'nonInviteClients'

const serverCounter = (transaction: Transaction): OpenCounter =>
  transaction.isInvite ? 'inviteServers' : 'nonInviteServers'

/** The timers of the four kinds, made once. */
function durationTable(values: TimerValues): (invite: boolean, reliable: boolean) => TimerDurations {
  const table = [false, true].map((invite) => [false, true].map((it) => timerDurations(values, invite, it)))
  return (invite, reliable) => table[Number(invite)]?.[Number(reliable)] as TimerDurations
}

import type { Clock, Timer } from '../../ops/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Message } from '../message.ts'
import type { ClientTransaction, ClientUser } from './client-transaction.ts'
import type { TransactionCounters } from './counters.ts'
import { type Action, type AnyTable, type Failure, step, type TimerName } from './machine.ts'
import type { ServerTransaction } from './server-transaction.ts'
import { type TimerDurations, type TimerValues, timerEvent } from './timers.ts'

/** What a transaction needs of its layer. */
export interface Host {
  readonly clock: Clock
  readonly values: TimerValues
  readonly counters: TransactionCounters
  send(text: string, to: Endpoint): void
  /** Opens another client transaction, for a CANCEL. */
  request(text: string, to: Endpoint, user: ClientUser): void
  /** Its target has been heard of. */
  answered(transaction: ClientTransaction): void
  /** An ACK for the user. */
  acknowledged(ack: Message, transaction: ServerTransaction): void
  /** An ACK with this key belongs to this transaction. */
  awaitAck(transaction: ServerTransaction, ackKey: string): void
  clientEnded(transaction: ClientTransaction): void
  serverEnded(transaction: ServerTransaction): void
}

interface RunningTimer {
  readonly name: TimerName
  readonly timer: Timer
  next: RunningTimer | undefined
}

/** What an event brings: a message received, the text of one to be sent, or nothing. */
export type Input = Message | string | undefined

/** One run of one of the four tables: keeps the state and the timers, and performs the actions. */
export abstract class Transaction {
  readonly method: string
  protected readonly host: Host
  #table: AnyTable
  #durations: TimerDurations
  #state = 'initial'
  // At most three at a time: a list is smaller than a map.
  #running: RunningTimer | undefined
  /** The present interval of A, E or G, of which a transaction has one. */
  #intervalMs = 0
  /** A timer of no length that fires as soon as the actions are done. */
  #immediate: TimerName | undefined

  constructor(host: Host, method: string, table: AnyTable, durations: TimerDurations) {
    this.host = host
    this.method = method
    this.#table = table
    this.#durations = durations
  }

  /** As the figures name it, in lower case; `terminated` at last. */
  get state(): string {
    return this.#state
  }

  get isInvite(): boolean {
    return this.method === 'INVITE'
  }

  /** @returns false if the event has no effect in this state. */
  dispatch(event: string, input?: Input): boolean {
    const cell = step(this.#table, this.#state, event)
    if (!cell) return false
    const [next] = cell
    const before = this.#state
    if (next !== before) this.#enter(next)
    try {
      for (let i = 1; i < cell.length; i++) this.#perform(cell[i] as Action, next, event, input)
    } finally {
      if (next !== before) this.#settle(next)
    }
    return true
  }

  /** Stops everything without a word to anybody. */
  abandon(): void {
    if (this.#state !== 'terminated') this.#enter('terminated')
  }

  protected abstract ended(): void
  protected abstract send(text: string): void
  protected abstract resend(): void
  protected abstract pass(event: string, message: Message): void
  protected abstract report(failure: Failure): void
  /** After the actions of a transition into `state`: what is not needed any more is let go. */
  protected abstract release(state: string): void

  protected sendTrying(): void {}
  protected sendAck(_response: Message): void {}
  protected sendCancel(): void {}
  protected releaseCancel(): void {}

  protected durationOf(timer: TimerName): number {
    return this.#durations[timer]
  }

  #enter(next: string): void {
    this.#state = next
    const row = next === 'terminated' ? undefined : this.#table[next]
    for (let timer = this.#running; timer; timer = timer.next) {
      if (row?.[timerEvent[timer.name]] === undefined) this.#stop(timer.name)
    }
    if (next === 'terminated') this.ended()
  }

  #settle(next: string): void {
    this.release(next)
    const timer = this.#immediate
    if (timer === undefined) return
    this.#immediate = undefined
    this.dispatch(timerEvent[timer])
  }

  #perform(action: Action, state: string, event: string, input: Input): void {
    if ('timer' in action) {
      // An action before this one may have led to another state already, whose timers these are not.
      if (this.#state === state) this.#set(action.do, action.timer)
      return
    }
    switch (action.do) {
      case 'send':
        this.send(input as string)
        break
      case 'resend':
        this.resend()
        break
      case 'sendTrying':
        this.sendTrying()
        break
      case 'sendAck':
        this.sendAck(input as Message)
        break
      case 'sendCancel':
        this.sendCancel()
        break
      case 'releaseCancel':
        this.releaseCancel()
        break
      case 'pass':
        this.pass(event, input as Message)
        break
      case 'report':
        if (action.failure === 'timeout') this.host.counters.timeouts++
        else this.host.counters.transportErrors++
        this.report(action.failure)
    }
  }

  #set(how: 'start' | 'again' | 'slow' | 'renew' | 'stop', timer: TimerName): void {
    const { t2Ms } = this.host.values
    switch (how) {
      case 'start':
        if (isRetransmission(timer)) this.#intervalMs = this.durationOf(timer)
        this.#start(timer, this.durationOf(timer))
        break
      case 'again':
        // A doubles without a bound (§17.1.1.2), E and G up to T2 (§17.1.2.2, §17.2.1).
        this.#intervalMs = timer === 'A' ? this.#intervalMs * 2 : Math.min(this.#intervalMs * 2, t2Ms)
        this.#start(timer, this.#intervalMs)
        break
      case 'slow':
        this.#start(timer, t2Ms)
        break
      case 'renew':
        if (this.#stop(timer)) this.#start(timer, this.durationOf(timer))
        break
      case 'stop':
        this.#stop(timer)
    }
  }

  #start(name: TimerName, delayMs: number): void {
    if (delayMs === Number.POSITIVE_INFINITY) return
    if (delayMs === 0) {
      this.#immediate = name
      return
    }
    const timer = this.host.clock.schedule(delayMs, () => {
      this.#forget(name)
      this.dispatch(timerEvent[name])
    })
    this.#running = { name, timer, next: this.#running }
  }

  /** @returns whether it was running. */
  #stop(name: TimerName): boolean {
    const running = this.#forget(name)
    running?.timer.cancel()
    return running !== undefined
  }

  #forget(name: TimerName): RunningTimer | undefined {
    let before: RunningTimer | undefined
    for (let running = this.#running; running; before = running, running = running.next) {
      if (running.name !== name) continue
      if (before) before.next = running.next
      else this.#running = running.next
      return running
    }
    return undefined
  }
}

const isRetransmission = (timer: TimerName) => timer === 'A' || timer === 'E' || timer === 'G'

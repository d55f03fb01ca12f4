import type { Endpoint } from '../endpoint.ts'
import { type Message, parseMessage } from '../message.ts'
import { ackFor, cancelFor } from './ack.ts'
import { flat } from './flat.ts'
import { inviteClient } from './invite-client.ts'
import type { Failure, TimerName } from './machine.ts'
import { nonInviteClient } from './non-invite-client.ts'
import type { TimerDurations } from './timers.ts'
import { type Host, Transaction } from './transaction.ts'

/** Who hears what becomes of a request. Called at most once with a failure, and not after it with anything else. */
export interface ClientUser {
  /**
   * Every provisional response, the final one once, and of an INVITE every 2xx, of each branch and each copy.
   * A failure of an INVITE has been acknowledged already.
   */
  response(response: Message, transaction: ClientTransaction): void
  /**
   * No final response will come: to be treated as a 408 or a 503 (§8.1.3.1, §16.9), or to be tried at the next
   * target as a new transaction with a branch of its own (RFC 3263 §4.3). Of an INVITE it may also come after a
   * final failure, when the ACK cannot be sent.
   */
  failed(transaction: ClientTransaction, failure: Failure): void
}

const nobody: ClientUser = { response() {}, failed() {} }

interface ClientSpec {
  readonly method: string
  readonly key: string
  readonly to: Endpoint
  readonly durations: TimerDurations
  readonly timerC: boolean
}

/** A request on its way to one target. */
export class ClientTransaction extends Transaction {
  readonly to: Endpoint
  readonly key: string
  /** The request, later the ACK to its failure, and '' once neither is needed. */
  #sent = ''
  #user: ClientUser
  #timerC: boolean
  #acknowledged = false
  #cancel: 'no' | 'wanted' | 'sent' = 'no'
  #reason: string | undefined

  constructor(host: Host, spec: ClientSpec, user: ClientUser) {
    super(host, spec.method, spec.method === 'INVITE' ? inviteClient : nonInviteClient, spec.durations)
    this.to = spec.to
    this.key = spec.key
    this.#timerC = spec.timerC
    this.#user = user
  }

  /**
   * Cancels an INVITE (§9.1): at once if a provisional response has come, else with the first one, and not at all
   * when a final one comes before. The user still hears the final response, a 487 if all goes well, or a timeout.
   * @param reason a Reason header's value (RFC 3326)
   */
  cancel(reason?: string): void {
    if (!this.isInvite || this.#cancel !== 'no') return
    this.#cancel = 'wanted'
    this.#reason = reason
    this.dispatch('cancel')
  }

  receive(response: Message): void {
    if (this.state === 'completed') this.host.counters.retransmissionsReceived++
    this.dispatch(this.isInvite ? inviteEvent(response.status) : nonInviteEvent(response.status), response)
  }

  protected override durationOf(timer: TimerName): number {
    return timer === 'C' && !this.#timerC ? Number.POSITIVE_INFINITY : super.durationOf(timer)
  }

  protected send(text: string): void {
    this.#sent = flat(text)
    this.host.send(text, this.to)
  }

  protected resend(): void {
    this.host.counters.retransmissionsSent++
    this.host.send(this.#sent, this.to)
  }

  protected override sendAck(response: Message): void {
    const invite = this.#acknowledged ? undefined : parseMessage(this.#sent)
    if (!invite) {
      this.resend()
      return
    }
    this.#acknowledged = true
    this.send(ackFor(invite, response))
  }

  protected override sendCancel(): void {
    const invite = parseMessage(this.#sent)
    if (!invite) return
    this.#cancel = 'sent'
    // Where the INVITE went (§9.1). What becomes of the CANCEL itself tells nothing about the INVITE.
    this.host.request(cancelFor(invite, this.#reason), this.to, nobody)
  }

  protected override releaseCancel(): void {
    if (this.#cancel === 'wanted') this.dispatch('cancel')
  }

  protected ended(): void {
    this.host.clientEnded(this)
  }

  protected pass(_event: string, response: Message): void {
    this.#user.response(response, this)
  }

  protected report(failure: Failure): void {
    this.#user.failed(this, failure)
  }

  protected release(state: string): void {
    switch (state) {
      case 'calling':
        return
      case 'trying':
        if (this.durationOf('E') === Number.POSITIVE_INFINITY) this.#sent = ''
        return
      case 'completed':
        if (!this.isInvite) this.#letGo()
        break
      case 'accepted':
        this.#sent = ''
    }
    this.host.answered(this)
  }

  /** What lingers only to absorb copies holds no texts and no user. */
  #letGo(): void {
    this.#sent = ''
    this.#user = nobody
  }
}

function inviteEvent(status: number): 'trying' | 'provisional' | 'success' | 'failure' {
  if (status === 100) return 'trying'
  if (status < 200) return 'provisional'
  return status < 300 ? 'success' : 'failure'
}

const nonInviteEvent = (status: number) => (status < 200 ? 'provisional' : 'final')

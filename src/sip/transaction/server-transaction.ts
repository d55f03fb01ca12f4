import { type Endpoint, isReliable } from '../endpoint.ts'
import { H } from '../header.ts'
import { type Message, parseMessage } from '../message.ts'
import { answerTarget, type ResponseOptions, respond } from '../response.ts'
import { Rewrite } from '../rewrite.ts'
import { viaFor } from '../via.ts'
import { newTag } from './branch.ts'
import { flat } from './flat.ts'
import { inviteServer } from './invite-server.ts'
import type { Failure } from './machine.ts'
import { isLegacy, legacyAckKey } from './matching.ts'
import { nonInviteServer } from './non-invite-server.ts'
import type { TimerDurations } from './timers.ts'
import { type Host, Transaction } from './transaction.ts'

/** Who answers a request. */
export interface ServerUser {
  /**
   * A CANCEL came before the final response of this INVITE, and has been answered. A UAS now sends a 487 (§9.2), a
   * proxy cancels its client transactions and passes on what they bring (§16.10).
   */
  cancelled?(transaction: ServerTransaction, cancel: Message): void
  /**
   * Timeout: no ACK came for a failure, or the client of a non-INVITE request has given up by now.
   * Transport: a response could not be sent; the transaction goes on (RFC 6026 §8.8).
   */
  failed?(transaction: ServerTransaction, failure: Failure): void
}

const nobody: ServerUser = {}

interface ServerSpec {
  readonly request: Message
  readonly source: Endpoint
  readonly key: string
  readonly mergeKey: string | undefined
  readonly merged: boolean
  readonly durations: TimerDurations
}

/** A request that is being answered. */
export class ServerTransaction extends Transaction {
  readonly key: string
  /** What the ACK of an old client is found by, once there is a final response. */
  ackKey: string | undefined
  readonly mergeKey: string | undefined
  /** A copy of this request that came by another way is being served: a UAS answers 482 (§8.2.2.2), a proxy need not. */
  readonly merged: boolean
  #tag: string | undefined
  #request: Message | undefined
  #source: Endpoint
  #replyTo: Endpoint
  /** The top Via of the newest copy, where that came another way than the first one. */
  #via: string | undefined
  /** The latest response; '' where none is to be repeated. */
  #response = ''
  #user: ServerUser

  constructor(host: Host, spec: ServerSpec, user: ServerUser) {
    const { request } = spec
    super(host, request.method, request.method === 'INVITE' ? inviteServer : nonInviteServer, spec.durations)
    this.key = spec.key
    this.mergeKey = spec.mergeKey
    this.merged = spec.merged
    this.#request = request
    this.#source = spec.source
    this.#replyTo = answerTarget(request, spec.source)
    this.#user = user
  }

  /** The request as it came, until the final response is sent. */
  get request(): Message | undefined {
    return this.#request
  }

  /** The To tag of the responses that {@link reply} makes, for a UAS to use in its others. */
  get tag(): string {
    this.#tag ??= newTag()
    return this.#tag
  }

  /** The To tag that a CANCEL is answered with: its INVITE's (§9.2), as far as that is still known. */
  get cancelTag(): string {
    return parseMessage(this.#response)?.to?.tag ?? this.tag
  }

  /**
   * Sends a response of `status`, if this is still the time for it: `text` is the whole message.
   * @returns false if nothing was sent: the transaction has its final response already, or has ended; or RFC 4320
   * forbids it, a 408 or most provisional responses to anything but an INVITE.
   */
  respond(status: number, text: string): boolean {
    const event = this.isInvite ? inviteEvent(status) : this.#nonInviteEvent(status)
    if (event === undefined) return false
    if (status >= 200 && this.isInvite) this.#awaitLegacyAck(text)
    return this.dispatch(event, text)
  }

  /** Makes a response (§8.2.6) and sends it as {@link respond} does. */
  reply(status: number, options: ResponseOptions = {}): boolean {
    if (!this.#request) return false
    const response = respond(this.#request, status, { toTag: this.tag, source: this.#source, ...options })
    return response !== undefined && this.respond(status, response)
  }

  /** A copy of the request. From a trusted peer the newest way is the one that works: responses take it from now on. */
  receive(request: Message, source: Endpoint, trusted: boolean): void {
    if (trusted && !sameEndpoint(source, this.#source)) this.#reroute(request, source)
    this.dispatch('request', request)
  }

  protected send(text: string): void {
    this.#response = flat(this.#via === undefined ? text : withTopVia(text, this.#via))
    this.host.send(this.#response, this.#replyTo)
  }

  protected resend(): void {
    if (this.#response === '') return
    this.host.counters.retransmissionsSent++
    this.host.send(this.#response, this.#replyTo)
  }

  protected override sendTrying(): void {
    const response = this.#request && respond(this.#request, 100, { source: this.#source })
    if (response !== undefined) this.send(response)
  }

  protected ended(): void {
    this.host.serverEnded(this)
  }

  protected pass(event: string, message: Message): void {
    if (event === 'cancel') this.#user.cancelled?.(this, message)
    else this.host.acknowledged(message, this)
  }

  protected report(failure: Failure): void {
    this.#user.failed?.(this, failure)
  }

  protected release(state: string): void {
    switch (state) {
      case 'confirmed':
        this.#user = nobody
        this.#response = ''
        break
      case 'accepted':
        this.#response = ''
        this.#request = undefined
        break
      case 'completed':
      case 'terminated':
        this.#request = undefined
    }
  }

  /** RFC 4320 §4.1: of the provisional responses only a 100, over UDP not before the client's Timer E has reached T2. */
  #nonInviteEvent(status: number): 'provisional' | 'final' | undefined {
    if (status >= 200) return status === 408 ? undefined : 'final' // RFC 4320 §4.2
    const timely = isReliable(this.#source) || this.state === 'proceeding'
    return status === 100 && timely ? 'provisional' : undefined
  }

  #awaitLegacyAck(response: string): void {
    if (!this.#request || !isLegacy(this.#request)) return
    this.ackKey = legacyAckKey(this.#request, parseMessage(response)?.to?.tag)
    if (this.ackKey !== undefined) this.host.awaitAck(this, this.ackKey)
  }

  #reroute(request: Message, source: Endpoint): void {
    const via = request.topVia
    if (!via) return
    this.#source = source
    this.#replyTo = answerTarget(request, source)
    const newest = detach(viaFor(via, source) ?? via.text)
    this.#via = newest
    if (this.#response !== '') this.#response = flat(withTopVia(this.#response, newest))
  }
}

function inviteEvent(status: number): 'provisional' | 'success' | 'failure' {
  if (status < 200) return 'provisional'
  return status < 300 ? 'success' : 'failure'
}

function withTopVia(response: string, via: string): string {
  const message = parseMessage(response)
  return message ? new Rewrite(message).replaceFirst(H.via, via).toString() : response
}

const sameEndpoint = (a: Endpoint, b: Endpoint) =>
  a.port === b.port && a.address === b.address && a.transport === b.transport

/** A string of its own: a slice would keep the whole message alive. */
const detach = (text: string) => Buffer.from(text, 'latin1').toString('latin1')

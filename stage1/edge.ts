import type { FlowTokens } from '../src/net/flow-token.ts'
import { answerKeepAlive } from '../src/net/keep-alive.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import type { Clock } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Cluster, EdgeWorker } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import { CR } from '../src/sip/chars.ts'
import { type Endpoint, isReliable } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { type Message, parseMessage } from '../src/sip/message.ts'
import { answerTarget, respond } from '../src/sip/response.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import { checkMaxForwards, checkProxyRequire, checkRequest, type Defect } from '../src/sip/validate.ts'
import { CAPABILITIES, nobodyServes, OFFENCES, redirection, SUPPORTED, TOO_LARGE } from './answers.ts'
import { Branches } from './branch.ts'
import { type Exit, Exits } from './exits.ts'
import {
  asDatagram,
  Forwarder,
  LONG_BYTES,
  MAX_DATAGRAM_BYTES,
  type Onward,
  type Passage,
} from './forwarder.ts'
import { type Guard, KEEP_ALIVE_COST } from './guard.ts'
import type { MemberLink } from './member-link.ts'
import type { Outside } from './outside.ts'
import type { Repeater } from './repeater.ts'
import { type Decision, type Face, namesCluster, routeRequest } from './route-request.ts'
import { StayInPath, type StayInPathMode } from './stay-in-path.ts'
import { checkRecordRoutes, stripIncoming, stripOutgoing } from './trust.ts'
import { byNewConnection, WaysBack } from './way-back.ts'

export interface EdgeOptions {
  readonly self: EdgeWorker
  readonly outside: Pick<Outside, 'send' | 'isOpen'>
  readonly inside: Pick<Transport, 'send'>
  /** The cluster as it is now. */
  readonly cluster: () => Cluster
  readonly tokens: FlowTokens
  /** The way to the member that serves a group now. */
  readonly members: {
    serving(group: Group): (Pick<MemberLink, 'send'> & Partial<Pick<MemberLink, 'member'>>) | undefined
    /** The way of a request by its method, where that makes a difference. */
    wayOf?(group: Group, method: string): Pick<MemberLink, 'send'> | undefined
  }
  /** Stands in front of the outside face; asked before anything is parsed. */
  readonly guard?: Pick<Guard, 'admits' | 'noteRequest' | 'noteRefused' | 'noteAnswer' | 'mayAnswerDefect'>
  /** Default: always. */
  readonly stayInPath?: StayInPathMode
  /** Repeats what came over connections and leaves by UDP; without one it is sent once. */
  readonly repeater?: Repeater
  /** Spares the guard a look at its own clock for every message. */
  readonly clock?: Pick<Clock, 'monotonicMs'>
  readonly log: Pick<Logger, 'debug'>
}

/** What came, and what of it was not passed on, for the metrics. */
export interface EdgeCounters {
  requests: number
  responses: number
  /** Requests answered here with an error, or not at all if they were ACKs or there were too many. */
  refused: number
  /** No SIP, from where nothing may come, or a response to nothing that we sent. */
  dropped: number
  /** Taken by a connection, and then not sent. */
  unsent: number
  /** Datagrams that only keep a way through a NAT open. */
  keepAlives: number
}

/**
 * The stateless proxy (RFC 3261 §16.11) between the untrusted outside and the trusted inside. It remembers nothing of a
 * message once it has been sent on, so any worker of any node can handle the next one of the same transaction.
 *
 * The Via that it adds tells by its branch which face the request came in by; the response leaves there.
 *
 * Inside, everything goes by UDP, however long: that is the operator's own network, where fragments arrive.
 */
export class Edge {
  readonly counters: EdgeCounters = {
    requests: 0,
    responses: 0,
    refused: 0,
    dropped: 0,
    unsent: 0,
    keepAlives: 0,
  }
  readonly #options: EdgeOptions
  readonly #isOpen: (flow: Endpoint) => boolean
  readonly #exits: Exits
  readonly #waysBack: WaysBack
  readonly #forwarder: Forwarder

  constructor(options: EdgeOptions) {
    const { self, cluster, tokens, outside, stayInPath: mode = 'always' } = options
    this.#options = options
    this.#exits = new Exits(self)
    this.#isOpen = (flow) => outside.isOpen(flow)
    const branches = new Branches(() => cluster().keys)
    this.#waysBack = new WaysBack({ self, branches, cluster, isOpen: this.#isOpen })
    this.#forwarder = new Forwarder({
      branches,
      waysBack: this.#waysBack,
      stay: new StayInPath({ mode, self, exits: this.#exits, tokens }),
      isOurs: (uri) => namesCluster(uri, { self, cluster: cluster() }),
    })
  }

  receive(batch: InboundBatch, face: Face): void {
    if (face === 'outside') this.#receiveOutside(batch)
    else this.#receiveInside(batch)
  }

  #receiveOutside(batch: InboundBatch): void {
    const { guard, clock } = this.#options
    const nowMs = clock?.monotonicMs()
    for (let i = 0; i < batch.length; i++) {
      const source = batch.source(i)
      const text = batch.text(i)
      const isSip = text.charCodeAt(0) > CR
      if (guard?.admits(source, nowMs, isSip ? 1 : KEEP_ALIVE_COST) === false) continue
      if (source.transport === 'udp' && this.#keepAlive(text, source)) continue
      const message = parseMessage(text)
      if (!message) this.#drop(source, 'outside')
      else if (!message.isRequest) this.#response(message, source, 'outside')
      else if (guard?.noteRequest(message, source) !== false)
        this.#request({ request: message, source, face: 'outside' })
    }
  }

  #keepAlive(text: string, source: Endpoint): boolean {
    const { handled, answer } = answerKeepAlive(text, source)
    if (!handled) return false
    this.counters.keepAlives++
    if (answer !== undefined) this.#options.outside.send(answer, source)
    return true
  }

  /** Only the cluster's own hosts may speak to the inside face. */
  #receiveInside(batch: InboundBatch): void {
    const { insideAddresses } = this.#options.cluster()
    for (let i = 0; i < batch.length; i++) {
      const source = batch.source(i)
      const message = insideAddresses.has(source.address) ? parseMessage(batch.text(i)) : undefined
      if (!message) this.#drop(source, 'inside')
      else if (message.isRequest) this.#request({ request: message, source, face: 'inside' })
      else this.#response(message, source, 'inside')
    }
  }

  /** To be told of what a connection could not send. */
  unsent(text: string, to: Endpoint): void {
    this.counters.unsent++
    const message = parseMessage(text)
    if (!message) return
    if (!message.isRequest) return this.#answerAnew(message, to)
    const datagram = to.connection === undefined ? asDatagram(message) : undefined
    if (datagram !== undefined) return void this.#options.outside.send(datagram, { ...to, transport: 'udp' })
    // RFC 3261 §16.9: as if that had been answered by the next hop; RFC 5626 §5.3 for a flow.
    const answer = respond(message, to.connection === undefined ? 503 : 430)
    const response = answer === undefined ? undefined : parseMessage(answer)
    if (response) this.#passBack(response, to, 'outside')
  }

  /** A response whose connection broke under it: it is tried once more as if that had been gone before. */
  #answerAnew(response: Message, { connection }: Endpoint): void {
    const target = connection === undefined ? undefined : byNewConnection(response.topVia)
    if (target) this.#options.outside.send(response.text, target)
  }

  #request(passage: Passage): void {
    this.counters.requests++
    const defect = checkRequest(passage.request)
    if (defect) return this.#refuseDefect(passage, defect)
    const decision = this.#decide(passage)
    switch (decision.to) {
      case 'group':
        return this.#toGroup(passage, decision)
      case 'outside':
        return this.#toOutside(passage, decision)
      case 'edge':
        return this.#toEdge(passage, decision)
      case 'redirect':
        return this.#redirect(passage, decision.group)
      case 'self':
        return this.#answer(passage)
      case 'nobody':
        return
      case 'refuse':
        return this.#refuse(passage, decision.defect)
    }
  }

  /** RFC 3261 §16.3–16.5; what is for us is not judged as what passes through us (§11). */
  #decide({ request, source, face }: Passage): Decision {
    const { self, tokens, cluster } = this.#options
    const at = { self, tokens, cluster: cluster(), isOpen: this.#isOpen }
    const decision = routeRequest(request, source, face, at)
    if (decision.to === 'self' || decision.to === 'redirect' || decision.to === 'nobody') return decision
    const defect =
      checkMaxForwards(request) ??
      checkProxyRequire(request, SUPPORTED) ??
      (face === 'outside' ? checkRecordRoutes(request, (uri) => namesCluster(uri, at), tokens) : undefined)
    return defect ? { to: 'refuse', defect } : decision
  }

  #toGroup(passage: Passage, decision: Onward & { to: 'group' }): void {
    const { members } = this.#options
    const { requestMethod } = passage.request
    const link = members.wayOf
      ? members.wayOf(decision.group, requestMethod)
      : members.serving(decision.group)
    if (!link) return this.#refuse(passage, nobodyServes())
    const map = `;map=${this.#options.cluster().map.version}`
    const text = this.#forwarder.copy(passage, decision, this.#exits.inside, map)
    if (text.length > MAX_DATAGRAM_BYTES) return this.#refuse(passage, TOO_LARGE)
    link.send(text)
    if (this.#isToRepeat(passage)) this.#repeat(text, () => members.serving(decision.group)?.send(text))
  }

  #toEdge(passage: Passage, decision: Onward & { to: 'edge' }): void {
    const text = this.#forwarder.copy(passage, decision, this.#exits.inside)
    if (text.length > MAX_DATAGRAM_BYTES) return this.#refuse(passage, TOO_LARGE)
    this.#options.inside.send(text, decision.target)
    if (this.#isToRepeat(passage)) this.#repeat(text, () => this.#options.inside.send(text, decision.target))
  }

  #toOutside(passage: Passage, decision: Onward & { to: 'outside' }): void {
    const { bySize, target } = decision
    const exit = this.#exits.towards(target) as Exit
    const text = this.#forwarder.copy(passage, decision, exit)
    const isDatagram = target.transport === 'udp'
    if (isDatagram && bySize && text.length > LONG_BYTES) {
      const byTcp: Endpoint = { ...target, transport: 'tcp' }
      const tcpExit = this.#exits.towards(byTcp) as Exit
      this.#options.outside.send(this.#forwarder.copy(passage, decision, tcpExit), byTcp)
      return
    }
    if (isDatagram && text.length > MAX_DATAGRAM_BYTES) return this.#refuse(passage, TOO_LARGE)
    this.#options.outside.send(text, target)
    if (isDatagram && this.#isToRepeat(passage))
      this.#repeat(text, () => this.#options.outside.send(text, target))
  }

  #isToRepeat({ request, source }: Passage): boolean {
    return isReliable(source) && request.requestMethod !== 'ACK'
  }

  #repeat(text: string, send: () => void): void {
    const branch = parseMessage(text)?.topVia?.branch
    if (branch !== undefined) this.#options.repeater?.repeat(branch, send)
  }

  /** RFC 3261 §16.7 steps 3 and 9, §16.11. */
  #response(response: Message, source: Endpoint, arrival: Face): void {
    this.counters.responses++
    if (!this.#passBack(response, source, arrival)) this.#drop(source, arrival)
  }

  #passBack(response: Message, source: Endpoint, arrival: Face): boolean {
    const { outside, inside, guard, repeater } = this.#options
    if (repeater?.size) repeater.heard(response.topVia?.branch ?? '')
    const way = this.#waysBack.find(response, source, arrival)
    if (!way) return false
    if ('holder' in way) {
      inside.send(response.text, way.holder)
      return true
    }
    const out = new Rewrite(response).dropFirst(H.via)
    if (arrival === 'outside') stripIncoming(out)
    if (way.face === 'inside') inside.send(out.toString(), way.target)
    else {
      stripOutgoing(out)
      outside.send(out.toString(), way.target)
      guard?.noteAnswer(way.target, response.status, response.method, way.hadCredentials)
    }
    return true
  }

  #drop(source: Endpoint, face: Face): void {
    this.counters.dropped++
    if (face === 'outside') this.#options.guard?.noteRefused(source)
  }

  #redirect(passage: Passage, group: Group): void {
    const member = this.#options.members.serving(group)?.member
    const { uri } = passage.request
    if (!member || !uri) this.#refuse(passage, nobodyServes())
    else this.#reply(passage, redirection(uri, member))
  }

  /** RFC 3261 §11: a request to the node itself. */
  #answer(passage: Passage): void {
    switch (passage.request.requestMethod) {
      case 'OPTIONS':
        return this.#reply(passage, { status: 200, reason: 'OK', headers: CAPABILITIES })
      case 'CANCEL':
        // §8.2.7: of what has been answered at once, there is nothing to be cancelled.
        return
      default:
        return this.#refuse(passage, { status: 404, reason: 'Not Found' })
    }
  }

  #refuseDefect(passage: Passage, defect: Defect): void {
    const { guard } = this.#options
    if (passage.face === 'inside' || guard === undefined) return this.#refuse(passage, defect)
    guard.noteRefused(passage.source)
    if (guard.mayAnswerDefect(passage.source)) this.#reply(passage, defect)
    this.counters.refused++
  }

  #refuse(passage: Passage, defect: Defect): void {
    this.counters.refused++
    const { request, source, face } = passage
    const { status, reason } = defect
    const { method, callId } = request
    this.#options.log.debug({ method, callId, from: place(source), status, reason }, 'request refused')
    this.#reply(passage, defect)
    if (face === 'outside' && OFFENCES.has(status)) this.#options.guard?.noteRefused(source)
  }

  #reply({ request, source, face }: Passage, { status, reason, headers = [] }: Defect): void {
    const text = respond(request, status, { source, reason, headers })
    if (text !== undefined) this.#options[face].send(text, answerTarget(request, source))
  }
}

const place = (endpoint: Endpoint): string => formatHostPort(endpoint.address, endpoint.port)

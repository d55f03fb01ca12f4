import { randomInt } from 'node:crypto'
import type { FlowTokens } from '../src/net/flow-token.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Cluster, EdgeNode } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { type Message, parseMessage } from '../src/sip/message.ts'
import { answerTarget, type HeaderField, respond } from '../src/sip/response.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import { statelessBranch } from '../src/sip/stateless.ts'
import {
  checkMaxForwards,
  checkProxyRequire,
  checkRequest,
  checkResponse,
  type Defect,
} from '../src/sip/validate.ts'
import { MAGIC_COOKIE, parseVia, responseTarget, viaFor } from '../src/sip/via.ts'
import type { Members } from './members.ts'
import { type Decision, type Face, routeRequest } from './route-request.ts'

/** Requests that begin a dialog, where who must stay in the path has to say so (RFC 3261 §16.6 step 4). */
const BEGINS_DIALOG = new Set(['INVITE', 'SUBSCRIBE', 'REFER'])

/** Option tags that a Proxy-Require may name (RFC 3261 §16.3 step 5). */
const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

const ALLOW =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, PRACK, PUBLISH'

/** Seconds until a client may try again when no member of its group lives; spread, so that not all come back at once. */
const RETRY_AFTER_SEC = [2, 8] as const

export interface EdgeOptions {
  readonly self: EdgeNode
  /** The cluster as it is now. */
  readonly cluster: () => Cluster
  readonly tokens: FlowTokens
  readonly members: Members
  readonly log: Logger
}

/** What came and was not passed on, for the metrics. */
export interface EdgeCounters {
  requests: number
  responses: number
  refused: number
  dropped: number
}

/**
 * The stateless proxy (RFC 3261 §16.11) between the untrusted outside and the trusted inside. It remembers nothing of a
 * message once it has been sent on, so any node can handle the next one of the same transaction.
 *
 * The Via that it adds tells by its branch which face the request came in by; the response leaves there.
 */
export class Edge {
  readonly counters: EdgeCounters = { requests: 0, responses: 0, refused: 0, dropped: 0 }
  readonly #options: EdgeOptions
  #outside!: Transport
  #inside!: Transport

  constructor(options: EdgeOptions) {
    this.#options = options
  }

  /** Where it sends from; messages may be received from now on. */
  attach(outside: Transport, inside: Transport): void {
    this.#outside = outside
    this.#inside = inside
  }

  receive(batch: InboundBatch, face: Face): void {
    for (let i = 0; i < batch.length; i++) {
      const message = parseMessage(batch.text(i))
      if (!message) this.counters.dropped++
      else if (message.isRequest) this.#request(message, batch.source(i), face)
      else this.#response(message)
    }
  }

  #request(request: Message, source: Endpoint, face: Face): void {
    this.counters.requests++
    if (face === 'inside' && !this.#trusts(source)) {
      this.counters.dropped++
      return
    }
    const decision = this.#decide(request, source, face)
    switch (decision.to) {
      case 'group':
        return this.#toGroup(request, decision, source, face)
      case 'outside':
        return this.#outside.send(this.#forward(request, decision, source, face), decision.target)
      case 'edge':
        return this.#inside.send(this.#forward(request, decision, source, face), decision.target)
      case 'self':
        return this.#answerOptions(request, source, face)
      case 'refuse':
        return this.#refuse(request, decision.defect, source, face)
    }
  }

  #decide(request: Message, source: Endpoint, face: Face): Decision {
    const defect = checkRequest(request)
    if (defect) return { to: 'refuse', defect }
    const { self, tokens } = this.#options
    const decision = routeRequest(request, source, face, { self, tokens, cluster: this.#options.cluster() })
    if (decision.to === 'self' || decision.to === 'refuse') return decision
    const hindrance = checkMaxForwards(request) ?? checkProxyRequire(request, SUPPORTED)
    return hindrance ? { to: 'refuse', defect: hindrance } : decision
  }

  #toGroup(request: Message, decision: Decision & { to: 'group' }, source: Endpoint, face: Face): void {
    const link = this.#options.members.serving(decision.group)
    if (link) link.send(this.#forward(request, decision, source, face))
    else this.#reply(request, 503, source, face, [[H.retryAfter, String(randomInt(...RETRY_AFTER_SEC))]])
  }

  /** The copy that is sent on: RFC 3261 §16.6 as §16.11 changes it. */
  #forward(request: Message, decision: Decision & { routes: number }, source: Endpoint, face: Face): string {
    const out = new Rewrite(request)
    if (request.looseStartLine) out.setRequestUri(request.requestUri)
    if (decision.routes > 0) out.dropFirst(H.route, decision.routes)
    out.set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    const via = request.topVia && viaFor(request.topVia, source)
    if (via !== undefined) out.replaceFirst(H.via, via)
    if (face === 'outside') this.#distrust(out)
    this.#stayInPath(out, request, decision, source, face)
    out.prepend(H.via, this.#via(request, decision, face))
    return out.toString()
  }

  /** What only our own side may say. */
  #distrust(out: Rewrite): void {
    out.remove(H.path).remove(H.assertedIdentity)
  }

  /** Adds what brings later requests back over the same flow: Path (RFC 3327) or Record-Route, with a token (RFC 5626 §5). */
  #stayInPath(out: Rewrite, request: Message, decision: Decision, source: Endpoint, face: Face): void {
    const { self, tokens } = this.#options
    const method = request.requestMethod
    if (method === 'REGISTER') {
      if (face === 'outside') out.prepend(H.path, `<sip:${tokens.mint(source)}@${place(self.inside)};lr;ob>`)
    } else if (BEGINS_DIALOG.has(method) && request.toTag === undefined) {
      const flow = face === 'outside' ? source : decision.to === 'outside' ? decision.target : undefined
      if (flow) out.prepend(H.recordRoute, `<sip:${tokens.mint(flow)}@${place(self.outside)};lr>`)
    }
  }

  #via(request: Message, decision: Decision, face: Face): string {
    const { self } = this.#options
    const sentBy = decision.to === 'outside' ? self.outside : self.inside
    const branch = statelessBranch(request, this.#options.cluster().keys.current)
    const version = decision.to === 'group' ? `;map=${this.#options.cluster().map.version}` : ''
    return `SIP/2.0/UDP ${place(sentBy)};branch=${MAGIC_COOKIE}${letterOf[face]}${branch}${version}`
  }

  /** RFC 3261 §16.7 steps 3 and 9, §16.11. */
  #response(response: Message): void {
    this.counters.responses++
    const face = this.#faceOf(response)
    const target = face && !checkResponse(response) && nextTarget(response)
    if (!target) {
      this.counters.dropped++
      return
    }
    const transport = face === 'outside' ? this.#outside : this.#inside
    transport.send(new Rewrite(response).dropFirst(H.via).toString(), target)
  }

  /** By which face the request of this response came in, `undefined` if we never sent it. */
  #faceOf(response: Message): Face | undefined {
    const via = response.topVia
    const { outside, inside } = this.#options.self
    if (!via || ![outside, inside].some((own) => via.host === own.address && via.port === own.port))
      return undefined
    switch (via.branch.charAt(MAGIC_COOKIE.length)) {
      case letterOf.outside:
        return 'outside'
      case letterOf.inside:
        return 'inside'
      default:
        return undefined
    }
  }

  #answerOptions(request: Message, source: Endpoint, face: Face): void {
    if (request.requestMethod !== 'OPTIONS') {
      return this.#refuse(request, { status: 404, reason: 'Not Found' }, source, face)
    }
    this.#reply(request, 200, source, face, [
      ['Allow', ALLOW],
      ['Supported', 'path, outbound'],
    ])
  }

  #refuse(request: Message, defect: Defect, source: Endpoint, face: Face): void {
    this.counters.refused++
    const { status, reason, headers } = defect
    const { method, callId } = request
    this.#options.log.debug({ method, callId, from: place(source), status, reason }, 'request refused')
    this.#reply(request, status, source, face, headers, reason)
  }

  #reply(
    request: Message,
    status: number,
    source: Endpoint,
    face: Face,
    headers: readonly HeaderField[] = [],
    reason?: string,
  ): void {
    const text = respond(request, status, { source, headers, ...(reason && { reason }) })
    if (text === undefined) return
    const transport = face === 'outside' ? this.#outside : this.#inside
    transport.send(text, answerTarget(request, source))
  }

  /** Only the cluster's own hosts may speak to the inside face. */
  #trusts(source: Endpoint): boolean {
    return this.#options.cluster().insideAddresses.has(source.address)
  }
}

const letterOf: Readonly<Record<Face, string>> = { outside: 'o', inside: 'i' }

const place = (endpoint: Endpoint): string => formatHostPort(endpoint.address, endpoint.port)

/** Where the Via below the top one, that of whoever sent us the request, says. */
function nextTarget(response: Message): Endpoint | undefined {
  const value = response.values(H.via)[1]
  const via = value === undefined ? undefined : parseVia(value)
  return via && responseTarget(via)
}

import { randomInt } from 'node:crypto'
import { isIP } from 'node:net'
import type { FlowTokens } from '../src/net/flow-token.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import type { Logger } from '../src/ops/logging.ts'
import { type Cluster, type EdgeWorker, isClusterSocket, outsideTowards } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { type Message, parseMessage } from '../src/sip/message.ts'
import { answerTarget, type HeaderField, respond } from '../src/sip/response.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import {
  checkMaxForwards,
  checkProxyRequire,
  checkRequest,
  checkResponse,
  type Defect,
} from '../src/sip/validate.ts'
import { formatVia, parseVia, responseTarget, type Via, viaFor } from '../src/sip/via.ts'
import { Branches } from './branch.ts'
import type { MemberLink } from './member-link.ts'
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
  readonly self: EdgeWorker
  readonly outside: Transport
  readonly inside: Transport
  /** The cluster as it is now. */
  readonly cluster: () => Cluster
  readonly tokens: FlowTokens
  /** The way to the member that serves a group now. */
  readonly members: { serving(group: Group): Pick<MemberLink, 'send'> | undefined }
  readonly log: Pick<Logger, 'debug'>
}

/** What came, and what of it was not passed on, for the metrics. */
export interface EdgeCounters {
  requests: number
  responses: number
  /** Requests answered here with an error, or not at all if they were ACKs. */
  refused: number
  /** No SIP, from where nothing may come, or a response to nothing that we sent. */
  dropped: number
}

/** A request that goes on, and how it came. */
interface Passage {
  readonly request: Message
  readonly source: Endpoint
  readonly face: Face
}

type Onward = Extract<Decision, { routes: number }>

/**
 * The stateless proxy (RFC 3261 §16.11) between the untrusted outside and the trusted inside. It remembers nothing of a
 * message once it has been sent on, so any node can handle the next one of the same transaction.
 *
 * The Via that it adds tells by its branch which face the request came in by; the response leaves there.
 */
export class Edge {
  readonly counters: EdgeCounters = { requests: 0, responses: 0, refused: 0, dropped: 0 }
  readonly #options: EdgeOptions
  readonly #branches: Branches

  constructor(options: EdgeOptions) {
    this.#options = options
    this.#branches = new Branches(() => options.cluster().keys)
  }

  receive(batch: InboundBatch, face: Face): void {
    for (let i = 0; i < batch.length; i++) {
      const source = batch.source(i)
      const message = this.#trusts(source, face) ? parseMessage(batch.text(i)) : undefined
      if (!message) this.counters.dropped++
      else if (message.isRequest) this.#request({ request: message, source, face })
      else this.#response(message, face)
    }
  }

  /** Only the cluster's own hosts may speak to the inside face. */
  #trusts(source: Endpoint, face: Face): boolean {
    return face === 'outside' || this.#options.cluster().insideAddresses.has(source.address)
  }

  #request(passage: Passage): void {
    this.counters.requests++
    const decision = this.#decide(passage)
    switch (decision.to) {
      case 'group':
        return this.#toGroup(passage, decision)
      case 'outside':
        return this.#options.outside.send(this.#forward(passage, decision), decision.target)
      case 'edge':
        return this.#options.inside.send(this.#forward(passage, decision), decision.target)
      case 'self':
        return this.#answer(passage)
      case 'refuse':
        return this.#refuse(passage, decision.defect)
    }
  }

  #decide({ request, source, face }: Passage): Decision {
    const defect = checkRequest(request)
    if (defect) return { to: 'refuse', defect }
    const { self, tokens, cluster } = this.#options
    const decision = routeRequest(request, source, face, { self, tokens, cluster: cluster() })
    if (decision.to === 'self' || decision.to === 'refuse') return decision
    const hindrance = checkMaxForwards(request) ?? checkProxyRequire(request, SUPPORTED)
    return hindrance ? { to: 'refuse', defect: hindrance } : decision
  }

  #toGroup(passage: Passage, decision: Onward & { to: 'group' }): void {
    const link = this.#options.members.serving(decision.group)
    if (link) link.send(this.#forward(passage, decision))
    else this.#refuse(passage, nobodyServes())
  }

  /** The copy that is sent on: RFC 3261 §16.6 as §16.11 changes it. */
  #forward(passage: Passage, decision: Onward): string {
    const { request, source, face } = passage
    // A request without a good Via has been refused.
    const sender = request.topVia as Via
    const out = new Rewrite(request)
    if (request.looseStartLine) out.setRequestUri(request.requestUri)
    if (decision.routes > 0) out.dropFirst(H.route, decision.routes)
    out.set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    out.prepend(H.via, this.#via(passage, decision, sender))
    const stamped = viaFor(sender, source)
    if (stamped !== undefined) out.replaceFirst(H.via, stamped)
    this.#stayInPath(out, passage, decision)
    // What only our own side may say: Path (§5.1 of RFC 3327), and who somebody is (RFC 3325 §5).
    if (face === 'outside') out.remove(H.path).remove(H.assertedIdentity)
    return out.toString()
  }

  /** Adds what brings later requests back over the same flow: Path (RFC 3327) or Record-Route, with a token (RFC 5626 §5). */
  #stayInPath(out: Rewrite, { request, source, face }: Passage, decision: Onward): void {
    const { self, tokens } = this.#options
    const method = request.requestMethod
    if (method === 'REGISTER') {
      if (face === 'inside') return
      // RFC 5626 §5.1: only the client's first hop can say that its flow will be used.
      const ob = request.values(H.via).length === 1 ? ';ob' : ''
      out.prepend(H.path, `<sip:${tokens.mint(source)}@${place(self.inside)};lr${ob}>`)
    } else if (BEGINS_DIALOG.has(method) && request.toTag === undefined) {
      const flow = face === 'outside' ? source : decision.to === 'outside' ? decision.target : undefined
      const own = flow && outsideTowards(self.node, flow)
      if (own) out.prepend(H.recordRoute, `<sip:${tokens.mint(flow)}@${place(own)};lr>`)
    }
  }

  #via({ request, face }: Passage, decision: Onward, sender: Via): string {
    const { self, cluster } = this.#options
    const outside = decision.to === 'outside' ? outsideTowards(self.node, decision.target) : undefined
    const exit = outside ?? self.inside
    const version = decision.to === 'group' ? `;map=${cluster().map.version}` : ''
    return formatVia(exit, this.#branches.make(request, sender, face), version)
  }

  /** RFC 3261 §16.7 steps 3 and 9, §16.11. */
  #response(response: Message, arrival: Face): void {
    this.counters.responses++
    const way = this.#wayBack(response, arrival)
    if (!way) {
      this.counters.dropped++
      return
    }
    const out = new Rewrite(response).dropFirst(H.via)
    if (arrival === 'outside') out.remove(H.assertedIdentity)
    this.#options[way.face].send(out.toString(), way.target)
  }

  /**
   * Where a response goes on to: to whoever the Via below ours names, by the face that the request came in by. `undefined`
   * for one that answers nothing that was sent from the face it arrives at, or that leads where no request can have come
   * from: a peer may have changed what our branch does not sign, `received` and `rport`.
   */
  #wayBack(response: Message, arrival: Face): { face: Face; target: Endpoint } | undefined {
    if (checkResponse(response)) return undefined
    const own = response.topVia
    if (!own || !this.#isOwn(own, arrival)) return undefined
    const sender = parseVia(response.values(H.via)[1] ?? '')
    const face = sender && this.#branches.faceOf(response, own.branch, sender)
    const target = sender && responseTarget(sender)
    return face && target && this.#mayAnswer(target, face) ? { face, target } : undefined
  }

  #isOwn({ host, port }: Via, arrival: Face): boolean {
    const { node, inside } = this.#options.self
    const faces = arrival === 'inside' ? [inside] : node.outside
    return faces.some((own) => own.address === host && own.port === port)
  }

  #mayAnswer(target: Endpoint, face: Face): boolean {
    if (target.transport !== 'udp' || isIP(target.address) === 0) return false
    const cluster = this.#options.cluster()
    return face === 'inside' ? cluster.insideAddresses.has(target.address) : !isClusterSocket(cluster, target)
  }

  /** RFC 3261 §11: a request to the node itself. */
  #answer(passage: Passage): void {
    if (passage.request.requestMethod !== 'OPTIONS') {
      return this.#refuse(passage, { status: 404, reason: 'Not Found' })
    }
    this.#reply(passage, {
      status: 200,
      reason: 'OK',
      headers: [
        [H.allow, ALLOW],
        [H.supported, [...SUPPORTED].join(', ')],
      ],
    })
  }

  #refuse(passage: Passage, defect: Defect): void {
    this.counters.refused++
    const { method, callId } = passage.request
    const { status, reason } = defect
    this.#options.log.debug(
      { method, callId, from: place(passage.source), status, reason },
      'request refused',
    )
    this.#reply(passage, defect)
  }

  #reply({ request, source, face }: Passage, { status, reason, headers = [] }: Defect): void {
    const text = respond(request, status, { source, reason, headers })
    if (text !== undefined) this.#options[face].send(text, answerTarget(request, source))
  }
}

/** All members of one group are down: for its users alone, and not for ever. */
function nobodyServes(): Defect {
  const headers: HeaderField[] = [[H.retryAfter, String(randomInt(...RETRY_AFTER_SEC))]]
  return { status: 503, reason: 'Service Unavailable', headers }
}

const place = (endpoint: Endpoint): string => formatHostPort(endpoint.address, endpoint.port)

import type { Flow, FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import {
  type Cluster,
  type EdgeNode,
  type EdgeWorker,
  isClusterSocket,
  outsideTowards,
} from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { parseHost } from '../src/sip/host.ts'
import type { Message } from '../src/sip/message.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'
import type { Defect } from '../src/sip/validate.ts'
import { RouteSet } from './route-set.ts'

/** Which of its faces a message reached the node by: the untrusted outside or the trusted inside. */
export type Face = 'outside' | 'inside'

/** What becomes of the Route and the Request-URI of a request that goes on. */
export interface Rerouting {
  /** The cluster's own values at the top of the Route, which are to be removed. */
  readonly routes: number
  /** Set where there is a Route. */
  readonly set?: RouteSet | undefined
  /** Another Request-URI, where there is no Route. */
  readonly requestUri?: string | undefined
}

/** Where a request goes. */
export type Decision =
  /** To the serving member of the group that owns its user. */
  | (Rerouting & { readonly to: 'group'; readonly group: Group })
  /**
   * To a client or a host of the world, from our outside face. `bySize`: neither a flow nor its URI binds it to UDP, so
   * that a long request is to go by TCP (RFC 3261 §18.1.1).
   */
  | (Rerouting & { readonly to: 'outside'; readonly target: Endpoint; readonly bySize: boolean })
  /** To another worker of this node or of another, from our inside face. */
  | (Rerouting & { readonly to: 'edge'; readonly target: Endpoint })
  /** Its client is told where the group that owns its user is. */
  | { readonly to: 'redirect'; readonly group: Group }
  /** It is addressed to this node itself. */
  | { readonly to: 'self' }
  /** It belongs to what has been answered here (RFC 3261 §8.2.7). */
  | { readonly to: 'nobody' }
  | { readonly to: 'refuse'; readonly defect: Defect }

const refuse = (status: number, reason: string): Decision => ({ to: 'refuse', defect: { status, reason } })

const FLOW_FAILED = refuse(430, 'Flow Failed')
const RELAYING_DENIED = refuse(403, 'Relaying Denied')

export interface Surroundings {
  readonly self: EdgeWorker
  readonly cluster: Cluster
  readonly tokens: FlowTokens
  /** Whether this worker holds the connection of a flow. */
  readonly isOpen: (flow: Endpoint) => boolean
}

/** How a request came, and to whom. */
interface Arrival {
  readonly source: Endpoint
  readonly face: Face
  readonly at: Surroundings
}

/**
 * Decides where a request goes (RFC 3261 §16.4–16.5, RFC 5626 §5.3). Nothing is looked up and nothing remembered but
 * connections: any worker of any node comes to the same decision.
 */
export function routeRequest(request: Message, source: Endpoint, face: Face, at: Surroundings): Decision {
  const arrival = { source, face, at }
  if (!request.has(H.route)) return findOwner(request, request.uri, arrival)
  const set = RouteSet.of(request, (uri) => isOwnRecord(uri, at))
  const decision = followRoute(request, set, arrival)
  return 'routes' in decision ? { ...decision, set } : decision
}

/** Whether it is a URI that we or another node have put into a Record-Route. */
function isOwnRecord(uri: Uri, at: Surroundings): boolean {
  return uri.user !== '' && nodeOf(uri, at) !== undefined && at.tokens.open(uri.user) !== undefined
}

/**
 * A Route that names any node of the cluster is ours, since any node can serve any request: only a flow token binds it to
 * the node, and if the flow is a connection to the worker, that has the flow.
 */
function followRoute(request: Message, set: RouteSet, arrival: Arrival): Decision {
  const { face, at } = arrival
  if (set.isRespelt && !set.uri) return refuse(400, 'Bad Route')
  let isFirstToken = true
  for (const [i, uri] of set.uris.entries()) {
    if (!uri) return refuse(400, 'Bad Route')
    const node = nodeOf(uri, at)
    if (!node) return leaveByRoute(uri, i, arrival)
    if (uri.user === '') continue
    const flow = at.tokens.open(uri.user)
    if (!flow) return refuse(403, 'Flow Token Not Ours')
    const isSenders = isFirstToken && isSendersOwn(flow, set.uris[i + 1], arrival)
    isFirstToken = false
    if (isSenders) continue
    if (face === 'outside' && request.toTag === undefined)
      return refuse(403, 'Flow Token Outside Of A Dialog')
    return followFlow(flow, node, i, arrival)
  }
  const decision = findOwner(request, set.uri, arrival)
  return 'routes' in decision ? { ...decision, routes: set.values.length } : decision
}

/**
 * RFC 5626 §5.3: a token of the sender's own flow is there for requests in the other direction. In a dialog that passes
 * the cluster twice it comes before the other side's, also when its sender has moved since.
 */
function isSendersOwn(flow: Flow, next: Uri | undefined, { source, face, at }: Arrival): boolean {
  if (face === 'inside') return false
  return isAt(flow, source) || (next !== undefined && nodeOf(next, at) !== undefined)
}

/** To the flow of the token in the Route value of that `index`. */
function followFlow(flow: Flow, node: EdgeNode, index: number, arrival: Arrival): Decision {
  const { self } = arrival.at
  const isConnection = flow.connection !== undefined
  if (node === self.node && (!isConnection || flow.worker === self.number))
    return overFlow(flow, index + 1, arrival.at)
  // Any worker has the node's UDP socket; so that all get a share, ours is taken to be busy as its peer.
  const holder = node.inside[isConnection ? (flow.worker ?? 0) : self.number % node.inside.length]
  return holder ? toEdge(holder, index, arrival) : FLOW_FAILED
}

function overFlow(flow: Flow, routes: number, at: Surroundings): Decision {
  switch (flow.transport) {
    case 'udp':
      return sendOut(flow, routes, false, at)
    case 'tcp':
      if (flow.connection !== undefined && !at.isOpen(flow)) return FLOW_FAILED
      return sendOut(flow, routes, false, at)
    default:
      return FLOW_FAILED
  }
}

/** A worker that has it from another knows no third one: the two see the cluster differently, and it would go on for ever. */
function toEdge(target: Endpoint, routes: number, { source, face, at }: Arrival): Decision {
  const isEdges =
    face === 'inside' && at.cluster.edges.some(({ inside }) => inside.some((own) => isAt(own, source)))
  return isEdges ? refuse(482, 'Loop Detected') : { to: 'edge', target, routes }
}

/** The Route leads out of the cluster, or to a node that was in it. */
function leaveByRoute(uri: Uri, routes: number, arrival: Arrival): Decision {
  return uri.user !== '' && arrival.at.tokens.open(uri.user) ? FLOW_FAILED : leave(uri, routes, arrival)
}

function findOwner(request: Message, requestUri: Uri | undefined, arrival: Arrival): Decision {
  const { map } = arrival.at.cluster
  if (request.requestMethod === 'REGISTER') return findRegistrar(request, arrival)
  if (!requestUri) return refuse(400, 'Bad Request-URI')
  const maddr = requestUri.param('maddr')
  if (maddr !== undefined) return byMaddr(request, requestUri, maddr, arrival)
  if (map.serves(requestUri.host)) return toGroupOf(requestUri, request, arrival) ?? { to: 'self' }
  // Any node of the cluster answers for any other.
  if (namesCluster(requestUri, arrival.at))
    return requestUri.user === '' ? { to: 'self' } : refuse(404, 'Not Found')
  return leave(requestUri, 0, arrival)
}

function findRegistrar(request: Message, arrival: Arrival): Decision {
  const uri = request.to?.uri
  if (!uri) return refuse(400, 'Bad To')
  if (!arrival.at.cluster.map.serves(uri.host)) return refuse(403, 'Domain Not Served Here')
  return toGroupOf(uri, request, arrival) ?? refuse(400, 'Bad To')
}

/** `undefined` for a URI without a user. */
function toGroupOf(uri: Uri, request: Message, { face, at }: Arrival): Decision | undefined {
  if (uri.user === '') return undefined
  const { map } = at.cluster
  const group = map.ownerOf(map.identityOf(uri))
  const isRedirected = face === 'outside' && map.redirects(uri.host)
  return (isRedirected ? redirect(request, group) : undefined) ?? { to: 'group', group, routes: 0 }
}

/** New requests are redirected; what comes in a dialog that passed here before goes on as it did. */
function redirect({ requestMethod, toTag }: Message, group: Group): Decision | undefined {
  if (requestMethod === 'ACK' || (requestMethod === 'CANCEL' && toTag === undefined)) return { to: 'nobody' }
  return toTag === undefined ? { to: 'redirect', group } : undefined
}

/** RFC 3261 §16.4: a `maddr` that names us has done its work; §16.5: any other is the one target. */
function byMaddr(request: Message, uri: Uri, maddr: string, arrival: Arrival): Decision {
  const host = parseHost(maddr)
  if (host === undefined) return refuse(400, 'Bad Request-URI')
  const { at } = arrival
  const isOurs = at.cluster.map.serves(host) || nodeAt(host, uri.port || 5060, at) !== undefined
  if (!isOurs) return leave(uri, 0, arrival)
  const requestUri = withoutMaddr(uri)
  const decision = findOwner(request, parseUri(requestUri), arrival)
  return 'routes' in decision ? { ...decision, requestUri } : decision
}

/** The URI without `maddr`, and without the port and the transport that were to go with it. */
function withoutMaddr({ text, params }: Uri): string {
  const head = text.slice(0, text.indexOf(params, text.indexOf('@') + 1))
  return head.replace(/:\d+$/, '') + params.replace(/;(?:maddr|transport)=[^;]*/gi, '')
}

/** Out into the world: for our own side only, or every stranger could relay through us. */
function leave(uri: Uri, routes: number, { face, at }: Arrival): Decision {
  if (face === 'outside') return RELAYING_DENIED
  const target = numericTarget(uri)
  if (target?.transport !== 'udp' && target?.transport !== 'tcp')
    return refuse(478, 'Unresolvable Destination')
  return sendOut(target, routes, !uri.hasParam('transport'), at)
}

/** Contacts and sources are the clients' own words: they must not lead back in, where we are trusted. */
function sendOut(target: Endpoint, routes: number, bySize: boolean, at: Surroundings): Decision {
  if (isClusterSocket(at.cluster, target)) return refuse(403, 'Destination Not Allowed')
  // RFC 5626 §5.3: of that version of IP we have no socket, and so never had the flow.
  if (!outsideTowards(at.self.node, target)) return FLOW_FAILED
  return { to: 'outside', target, routes, bySize }
}

/** The node that a Route names; a served domain names any, so this one. */
function nodeOf({ user, host, port }: Uri, at: Pick<Surroundings, 'self' | 'cluster'>): EdgeNode | undefined {
  const node = nodeAt(host, port || 5060, at)
  return node ?? (user === '' && at.cluster.map.serves(host) ? at.self.node : undefined)
}

/** Whether a URI leads to any node of the cluster, or to a domain that is served here and to nobody in it. */
export const namesCluster = (uri: Uri, at: Pick<Surroundings, 'self' | 'cluster'>): boolean =>
  nodeOf(uri, at) !== undefined

function nodeAt(
  host: string,
  port: number,
  { self, cluster }: Pick<Surroundings, 'self' | 'cluster'>,
): EdgeNode | undefined {
  if (hasAddress(self.node, host, port)) return self.node
  return cluster.edges.find((edge) => hasAddress(edge, host, port))
}

const hasAddress = ({ outside, inside }: EdgeNode, host: string, port: number): boolean =>
  outside.some((own) => own.address === host && own.port === port) ||
  inside.some((own) => own.address === host && own.port === port)

const isAt = (a: Endpoint, b: Endpoint): boolean =>
  a.port === b.port && a.address === b.address && a.transport === b.transport

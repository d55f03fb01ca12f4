import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import { type Cluster, type EdgeNode, type EdgeWorker, isClusterSocket } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'
import type { Defect } from '../src/sip/validate.ts'

/** Which of its faces a message reached the node by: the untrusted outside or the trusted inside. */
export type Face = 'outside' | 'inside'

/** Where a request goes. `routes` are the cluster's own Route values at its top, which are to be removed. */
export type Decision =
  /** To the serving member of the group that owns its user. */
  | { readonly to: 'group'; readonly group: Group; readonly routes: number }
  /** To a client or a host of the world, from our outside face. */
  | { readonly to: 'outside'; readonly target: Endpoint; readonly routes: number }
  /** To another stage-1 node, from our inside face. */
  | { readonly to: 'edge'; readonly target: Endpoint; readonly routes: number }
  /** It is addressed to this node itself. */
  | { readonly to: 'self' }
  | { readonly to: 'refuse'; readonly defect: Defect }

const refuse = (status: number, reason: string): Decision => ({ to: 'refuse', defect: { status, reason } })

export interface Surroundings {
  readonly self: EdgeWorker
  readonly cluster: Cluster
  readonly tokens: FlowTokens
}

/**
 * Decides where a request goes (RFC 3261 §16.4–16.5, RFC 5626 §5.3). Nothing is looked up and nothing remembered: any
 * node comes to the same decision.
 */
export function routeRequest(request: Message, source: Endpoint, face: Face, at: Surroundings): Decision {
  return request.has(H.route) ? followRoute(request, source, face, at) : findOwner(request, face, at)
}

/**
 * A Route that names any node of the cluster is ours, since any node can serve any request: only a flow token binds it to
 * the node that has the flow.
 */
function followRoute(request: Message, source: Endpoint, face: Face, at: Surroundings): Decision {
  const routes = request.values(H.route).map((value) => parseNameAddr(value)?.uri)
  let isFirstToken = true
  for (const [i, uri] of routes.entries()) {
    if (!uri) return refuse(400, 'Bad Route')
    const node = nodeOf(uri, at)
    if (!node) return leaveByRoute(uri, i, face, at)
    if (uri.user === '') continue
    const flow = at.tokens.open(uri.user)
    if (!flow) return refuse(403, 'Flow Token Not Ours')
    const isSenders = isFirstToken && face === 'outside' && isSendersOwn(flow, source, routes[i + 1], at)
    isFirstToken = false
    if (isSenders) continue
    if (face === 'outside' && request.toTag === undefined)
      return refuse(403, 'Flow Token Outside Of A Dialog')
    const holder = node === at.self.node ? at.self.inside : node.inside[0]
    if (!holder) return refuse(430, 'Flow Failed')
    if (holder !== at.self.inside) return { to: 'edge', target: holder, routes: i }
    return overFlow(flow, i + 1, at)
  }
  const decision = findOwner(request, face, at)
  return 'routes' in decision ? { ...decision, routes: routes.length } : decision
}

/**
 * RFC 5626 §5.3: a token of the sender's own flow is there for requests in the other direction. In a dialog that passes
 * the cluster twice it comes before the other side's, also when its sender has moved since.
 */
function isSendersOwn(flow: Endpoint, source: Endpoint, next: Uri | undefined, at: Surroundings): boolean {
  return isAt(flow, source) || (next !== undefined && nodeOf(next, at) !== undefined)
}

function overFlow(flow: Endpoint, routes: number, at: Surroundings): Decision {
  // The other transports' flows are connections, and of those there are none.
  if (flow.transport !== 'udp') return refuse(430, 'Flow Failed')
  return sendOut(flow, routes, at)
}

/** The Route leads out of the cluster, or to a node that was in it. */
function leaveByRoute(uri: Uri, routes: number, face: Face, at: Surroundings): Decision {
  return uri.user !== '' && at.tokens.open(uri.user)
    ? refuse(430, 'Flow Failed')
    : leave(uri, routes, face, at)
}

function findOwner(request: Message, face: Face, at: Surroundings): Decision {
  const isRegister = request.requestMethod === 'REGISTER'
  const uri = isRegister ? request.to?.uri : parseUri(request.requestUri)
  if (!uri) return refuse(400, isRegister ? 'Bad To' : 'Bad Request-URI')
  const { map } = at.cluster
  if (map.serves(uri.host)) {
    if (uri.user !== '') return { to: 'group', group: map.ownerOf(map.identityOf(uri)), routes: 0 }
    return isRegister ? refuse(400, 'Bad To') : { to: 'self' }
  }
  if (isRegister) return refuse(403, 'Domain Not Served Here')
  if (isNode(uri, at.self.node)) return uri.user === '' ? { to: 'self' } : refuse(404, 'Not Found')
  return leave(uri, 0, face, at)
}

/** Out into the world: for our own side only, or every stranger could relay through us. */
function leave(uri: Uri, routes: number, face: Face, at: Surroundings): Decision {
  if (face === 'outside') return refuse(403, 'Relaying Denied')
  const target = numericTarget(uri)
  if (target?.transport !== 'udp') return refuse(478, 'Unresolvable Destination')
  return sendOut(target, routes, at)
}

/** Contacts and sources are the clients' own words: they must not lead back in, where we are trusted. */
function sendOut(target: Endpoint, routes: number, at: Surroundings): Decision {
  if (isClusterSocket(at.cluster, target)) return refuse(403, 'Destination Not Allowed')
  return { to: 'outside', target, routes }
}

/** The node that a Route names; a served domain names any, so this one. */
function nodeOf(uri: Uri, { self, cluster }: Surroundings): EdgeNode | undefined {
  if (isNode(uri, self.node) || (uri.user === '' && cluster.map.serves(uri.host))) return self.node
  return cluster.edges.find((edge) => isNode(uri, edge))
}

const isNode = (uri: Uri, { outside, inside }: EdgeNode): boolean =>
  [...outside, ...inside].some((own) => isNamed(uri, own))

const isNamed = (uri: Uri, { address, port }: Endpoint): boolean =>
  uri.host === address && (uri.port || 5060) === port

const isAt = (a: Endpoint, b: Endpoint): boolean =>
  a.port === b.port && a.address === b.address && a.transport === b.transport

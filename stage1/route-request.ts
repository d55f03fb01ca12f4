import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import type { Cluster, EdgeNode } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'
import type { Defect } from '../src/sip/validate.ts'

/** Which of its faces a message reached the node by: the untrusted outside or the trusted inside. */
export type Face = 'outside' | 'inside'

/** Where a request goes. `routes` are our own Route values at its top, which are to be removed. */
export type Decision =
  /** To the serving member of the group that owns its user. */
  | { readonly to: 'group'; readonly group: Group; readonly routes: number }
  /** To a client or a host of the world, from our outside face. */
  | { readonly to: 'outside'; readonly target: Endpoint; readonly flow: boolean; readonly routes: number }
  /** To another stage-1 node, from our inside face. */
  | { readonly to: 'edge'; readonly target: Endpoint; readonly routes: number }
  /** It is addressed to this node itself. */
  | { readonly to: 'self' }
  | { readonly to: 'refuse'; readonly defect: Defect }

const refuse = (status: number, reason: string): Decision => ({ to: 'refuse', defect: { status, reason } })

export interface Surroundings {
  readonly self: EdgeNode
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

function followRoute(request: Message, source: Endpoint, face: Face, at: Surroundings): Decision {
  const routes = request.values(H.route)
  let own = 0
  for (const route of routes) {
    const uri = parseNameAddr(route)?.uri
    if (!uri) return refuse(400, 'Bad Route')
    if (!isSelf(uri, at.self)) return nextHop(uri, own, face, at)
    own++
    if (uri.user === '') continue
    const flow = at.tokens.open(uri.user)
    if (!flow) return refuse(403, 'Flow Token Not Ours')
    // RFC 5626 §5.3.1: a token of the sender's own flow is there for requests in the other direction.
    if (face === 'outside' && sameEndpoint(flow, source)) continue
    return { to: 'outside', target: flow, flow: true, routes: own }
  }
  const decision = findOwner(request, face, at)
  return 'routes' in decision ? { ...decision, routes: own } : decision
}

/** The Route leads to somebody else. */
function nextHop(uri: Uri, own: number, face: Face, at: Surroundings): Decision {
  const edge = at.cluster.edges.find((node) => isSelf(uri, node))
  if (edge) return { to: 'edge', target: edge.inside, routes: own }
  return leave(uri, own, face)
}

function findOwner(request: Message, face: Face, at: Surroundings): Decision {
  const uri = parseUri(request.requestUri)
  if (!uri) return refuse(400, 'Bad Request-URI')
  const { map } = at.cluster
  if (request.requestMethod === 'REGISTER') {
    const to = request.to?.uri
    if (!to?.user) return refuse(400, 'Bad To')
    if (!map.serves(to.host)) return refuse(403, 'Domain Not Served Here')
    return { to: 'group', group: map.ownerOf(to.user), routes: 0 }
  }
  if (isSelf(uri, at.self)) return uri.user === '' ? { to: 'self' } : refuse(404, 'Not Found')
  if (!map.serves(uri.host)) return leave(uri, 0, face)
  if (uri.user === '') return { to: 'self' }
  return { to: 'group', group: map.ownerOf(uri.user), routes: 0 }
}

/** Out into the world: for our own side only, or every stranger could relay through us. */
function leave(uri: Uri, routes: number, face: Face): Decision {
  if (face === 'outside') return refuse(403, 'Relaying Denied')
  const target = numericTarget(uri)
  if (!target) return refuse(478, 'Unresolvable Destination')
  return { to: 'outside', target, flow: false, routes }
}

const isSelf = (uri: Uri, { outside, inside }: EdgeNode): boolean => isAt(uri, outside) || isAt(uri, inside)

const isAt = (uri: Uri, place: Endpoint): boolean =>
  uri.host === place.address && (uri.port || 5060) === place.port

const sameEndpoint = (a: Endpoint, b: Endpoint): boolean =>
  a.port === b.port && a.address === b.address && a.transport === b.transport

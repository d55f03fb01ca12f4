import type { BindingRow } from '../db/binding-store.ts'
import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import { type Cluster, outsideTowards } from '../src/partition/cluster.ts'
import { crc32 } from '../src/partition/slot.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'
import type { Target } from './response-context.ts'

/** What a binding is reached through. */
interface Way {
  readonly route: readonly string[]
  readonly hop: Endpoint
}

/**
 * The places to try for a user's bindings, each by its own Path (RFC 3327 §5.4): forking by a common one would lose
 * calls. A binding without a Path leaves by an edge, with a flow token for its address, like one with a Path; and so does
 * one whose edge is gone if its phone is where its Contact says. Where it is behind a NAT only the edge that is gone could
 * have reached it. Bindings that lead nowhere are left out.
 * @param callId by which requests are spread over the edges and their workers; those of one call go the same way
 */
export function targetsOf(
  bindings: readonly BindingRow[],
  cluster: Cluster,
  tokens: FlowTokens,
  callId: string,
): Target[] {
  const exits = exitsOf(cluster)
  const anyEdge = (uri: Uri) => byAnyEdge(uri, exits, tokens, callId)
  return bindings.flatMap(({ contact, path, q }) => {
    const uri = parseUri(contact)
    const way = uri && (path.length > 0 ? byPath(uri, path, exits, tokens, anyEdge) : anyEdge(uri))
    return way ? [{ uri: requestUri(uri), q, ...way }] : []
  })
}

/** RFC 3261 §16.6 step 2: without what §19.1.1, table 1, keeps out of a Request-URI. */
function requestUri(uri: Uri): string {
  const { text, params, headers, hasHeaders } = uri
  const end = hasHeaders ? text.length - headers.length - 1 : text.length
  const allowed = params.replace(/;method=[^;]*/i, '')
  return text.slice(0, end - params.length) + allowed
}

function byPath(
  contact: Uri,
  path: readonly string[],
  { sockets }: Exits,
  tokens: FlowTokens,
  anyEdge: (uri: Uri) => Way | undefined,
): Way | undefined {
  const uri = parseNameAddr(path[0] ?? '')?.uri
  const hop = uri && numericTarget(uri)
  if (!hop) return undefined
  // Only edges mint tokens: what has none is somebody else's proxy, of whom nothing is known.
  const flow = sockets.has(placeOf(hop)) ? undefined : tokens.open(uri.user)
  if (!flow) return { route: path, hop }
  const isWhereItSays = numericTarget(contact)?.address === flow.address
  return path.length === 1 && isWhereItSays ? anyEdge(contact) : undefined
}

function byAnyEdge(uri: Uri, exits: Exits, tokens: FlowTokens, callId: string): Way | undefined {
  const place = numericTarget(uri)
  if (!place) return undefined
  const workers = place.address.includes(':') ? exits.towardsV6 : exits.towardsV4
  const hop = workers[crc32(callId) % workers.length]
  return hop && { route: [`<sip:${tokens.mint(place)}@${placeOf(hop)};lr>`], hop }
}

/** The inside faces of all workers of the edges that live. */
interface Exits {
  /** `10.0.0.1:5160` */
  readonly sockets: ReadonlySet<string>
  /** Of those that reach hosts of one version of IP. */
  readonly towardsV4: readonly Endpoint[]
  readonly towardsV6: readonly Endpoint[]
}

/** The same until the cluster changes. */
const exitsOfCluster = new WeakMap<Cluster, Exits>()

function exitsOf(cluster: Cluster): Exits {
  let exits = exitsOfCluster.get(cluster)
  if (!exits) {
    const towards = (address: string) =>
      cluster.edges.flatMap((edge) => (outsideTowards(edge, { address }) ? edge.inside : []))
    const sockets = new Set(cluster.edges.flatMap((edge) => edge.inside.map(placeOf)))
    exits = { sockets, towardsV4: towards('0.0.0.0'), towardsV6: towards('::') }
    exitsOfCluster.set(cluster, exits)
  }
  return exits
}

const placeOf = ({ address, port }: Endpoint): string => formatHostPort(address, port)

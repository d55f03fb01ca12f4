import type { BindingRow } from '../db/binding-store.ts'
import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import type { Cluster } from '../src/partition/cluster.ts'
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
 * calls. A binding without a Path leaves by an edge, with a flow token for its address, like one with a Path.
 * Bindings that lead nowhere are left out.
 */
export function targetsOf(bindings: readonly BindingRow[], cluster: Cluster, tokens: FlowTokens): Target[] {
  return bindings.flatMap(({ contact, path, q }) => {
    const uri = parseUri(contact)
    const way = uri && (path.length > 0 ? byPath(path) : byAnyEdge(uri, cluster, tokens))
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

function byPath(path: readonly string[]): Way | undefined {
  const uri = parseNameAddr(path[0] ?? '')?.uri
  const hop = uri && numericTarget(uri)
  return hop && { route: path, hop }
}

function byAnyEdge(uri: Uri, cluster: Cluster, tokens: FlowTokens): Way | undefined {
  const place = numericTarget(uri)
  const [edge] = cluster.edges
  if (!place || !edge) return undefined
  const [hop] = edge.inside
  if (!hop) return undefined
  return { route: [`<sip:${tokens.mint(place)}@${formatHostPort(hop.address, hop.port)};lr>`], hop }
}

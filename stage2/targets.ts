import type { BindingRow } from '../db/binding-store.ts'
import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { parseUri } from '../src/sip/uri.ts'
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
  return bindings.flatMap((binding) => {
    const way = binding.path.length > 0 ? byPath(binding.path) : byAnyEdge(binding.contact, cluster, tokens)
    return way ? [{ uri: binding.contact, q: binding.q, ...way }] : []
  })
}

function byPath(path: readonly string[]): Way | undefined {
  const uri = parseNameAddr(path[0] ?? '')?.uri
  const hop = uri && numericTarget(uri)
  return hop && { route: path, hop }
}

function byAnyEdge(contact: string, cluster: Cluster, tokens: FlowTokens): Way | undefined {
  const uri = parseUri(contact)
  const place = uri && numericTarget(uri)
  const [edge] = cluster.edges
  if (!place || !edge) return undefined
  const { address, port } = edge.inside
  return { route: [`<sip:${tokens.mint(place)}@${formatHostPort(address, port)};lr>`], hop: edge.inside }
}

import type { ClusterKeys } from '../ops/cluster-keys.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import { parseHost } from '../sip/host.ts'
import type { PartitionMap } from './partition-map.ts'

/** A stage-1 node as the others know it. */
export interface EdgeNode {
  readonly name: string
  /** Where the world reaches it. */
  readonly outside: Endpoint
  /** Where the cluster reaches it. */
  readonly inside: Endpoint
}

/** Everything that a node of either stage knows of its cluster, replaced in whole when any of it changes. */
export interface Cluster {
  readonly map: PartitionMap
  readonly edges: readonly EdgeNode[]
  /** Addresses of all nodes' inside faces: whoever speaks from one of them is one of us. */
  readonly insideAddresses: ReadonlySet<string>
  readonly keys: ClusterKeys
}

/** A configured or stored UDP address in the form in which the wire's addresses are compared. */
export function udpEndpoint({
  address,
  port,
}: {
  readonly address: string
  readonly port: number
}): Endpoint {
  const canonical = address.includes(':') ? parseHost(`[${address}]`) : address
  return { transport: 'udp', address: canonical ?? address, port }
}

/** Whether one of the cluster's own sockets is there: nothing that a client names may lead to it. */
export function isClusterSocket({ edges, insideAddresses, map }: Cluster, place: Endpoint): boolean {
  if (edges.some((edge) => isAt(edge.outside, place) || isAt(edge.inside, place))) return true
  // Hardly any client shares an address with a member, so the members need hardly ever be looked through.
  if (!insideAddresses.has(place.address)) return false
  return [...map.groups.values()].some(({ members }) =>
    members.some((member) => isAt(udpEndpoint(member), place)),
  )
}

const isAt = (a: Endpoint, b: Endpoint): boolean => a.port === b.port && a.address === b.address

import type { ClusterKeys } from '../ops/cluster-keys.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import { parseHost } from '../sip/host.ts'
import type { PartitionMap } from './partition-map.ts'

/** A stage-1 node as the others know it. */
export interface EdgeNode {
  readonly name: string
  /** Where the world reaches it, by UDP and by TCP: one address at most for each version of IP. */
  readonly outside: readonly Endpoint[]
  /** Where the cluster reaches it: one socket for each of its workers, by worker number. */
  readonly inside: readonly Endpoint[]
}

/** One process of a stage-1 node: it shares the outside face with the others and has an inside face of its own. */
export interface EdgeWorker {
  readonly node: EdgeNode
  /** From 0. */
  readonly number: number
  /** Its socket among `node.inside`. */
  readonly inside: Endpoint
}

export function edgeWorker(node: EdgeNode, number: number): EdgeWorker {
  const inside = node.inside[number]
  if (!inside) throw new RangeError(`node ${node.name} has no worker ${number}`)
  return { node, number, inside }
}

/** The address of an edge from which somebody is reached: of the same version of IP. `undefined` if it has none. */
export function outsideTowards(
  { outside }: EdgeNode,
  { address }: Pick<Endpoint, 'address'>,
): Endpoint | undefined {
  const isV6 = address.includes(':')
  return outside.find((own) => own.address.includes(':') === isV6)
}

/** Everything that a node of either stage knows of its cluster, replaced in whole when any of it changes. */
export interface Cluster {
  readonly map: PartitionMap
  /** The stage-1 nodes that live. */
  readonly edges: readonly EdgeNode[]
  /** Those that have not been heard of lately and did not say that they stop: dead, or cut off from PostgreSQL alone. */
  readonly silentEdges?: readonly EdgeNode[]
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
export function isClusterSocket(cluster: Cluster, { address, port }: Endpoint): boolean {
  let sockets = socketsOf.get(cluster)
  if (!sockets) {
    sockets = findSockets(cluster)
    socketsOf.set(cluster, sockets)
  }
  return sockets.get(address)?.has(port) === true
}

/** Ports by address. Asked for every message that leaves, and the same until the cluster changes. */
const socketsOf = new WeakMap<Cluster, ReadonlyMap<string, ReadonlySet<number>>>()

function findSockets({ edges, silentEdges = [], map }: Cluster): ReadonlyMap<string, ReadonlySet<number>> {
  const own = [...edges, ...silentEdges].flatMap(({ outside, inside }) => [...outside, ...inside])
  const members = [...map.groups.values()].flatMap((group) => group.members.map(udpEndpoint))
  const sockets = new Map<string, Set<number>>()
  for (const { address, port } of [...own, ...members])
    sockets.set(address, (sockets.get(address) ?? new Set()).add(port))
  return sockets
}

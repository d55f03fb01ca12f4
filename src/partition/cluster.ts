import type { ClusterKeys } from '../ops/cluster-keys.ts'
import type { Endpoint } from '../sip/endpoint.ts'
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

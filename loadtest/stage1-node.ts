import type { UdpChoice } from '../src/net/udp.ts'
import { type Config, configSchema } from '../src/ops/config-schema.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import { PartitionMap } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { edgeNodeOf } from '../stage1/worker-addresses.ts'

/* A stage-1 node for benchmarks: all checks on, and a cluster of one member that is not from a database. */

export interface BenchNode {
  readonly udp: UdpChoice
  readonly outside: Endpoint
  /** Of the first worker; the next ones have the ports after it. */
  readonly inside: Endpoint
  /** Stage 2, or what answers in its place. */
  readonly member: Endpoint
}

const KEY = Buffer.alloc(32, 7)

export function benchConfig({ udp, outside, inside }: BenchNode, workers = 1): Config {
  return configSchema.parse({
    node: 's1',
    net: { udp },
    stage1: {
      edge: formatHostPort(outside),
      inside: formatHostPort(inside),
      workers,
      // The load is judged as any source would be, and lives within these rates.
      guard: { exempt: [], rate: 1_000_000, burst: 1_000_000, strangersRate: 10_000_000 },
    },
  })
}

export function benchCluster(config: Config, { inside, member }: BenchNode): Cluster {
  const { address, port } = member
  const map = new PartitionMap({
    version: 1,
    domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user' }],
    groups: [{ name: 'a' }],
    members: [{ group: 'a', node: 'a1', role: 'master', priority: 1, address, port }],
    ranges: [{ first: 0, last: 16_383, group: 'a' }],
    pins: [],
  })
  return {
    map,
    edges: [edgeNodeOf(config)],
    insideAddresses: new Set([inside.address, address]),
    keys: { current: KEY, previous: KEY },
  }
}

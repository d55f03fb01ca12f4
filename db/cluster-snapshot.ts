import type { ClusterKeys } from '../src/ops/cluster-keys.ts'
import { parseHostPort } from '../src/ops/host-port.ts'
import { type Cluster, type EdgeNode, udpEndpoint } from '../src/partition/cluster.ts'
import { PartitionMap } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import type { MapSnapshot } from './map-store.ts'
import type { NodeRow } from './node-store.ts'

/** All that a node needs to serve. */
export interface ClusterSnapshot {
  readonly snapshot: MapSnapshot
  readonly keys: ClusterKeys
  /** When it was saved, in milliseconds since the epoch. */
  readonly savedAt: number
}

/** As text, for a file or for another process. It holds the cluster's keys. */
export function toText({ snapshot, keys, savedAt }: ClusterSnapshot): string {
  const hex = (key: Uint8Array | undefined) => key && Buffer.from(key).toString('hex')
  const secrets = { current: hex(keys.current), previous: hex(keys.previous), next: hex(keys.next) }
  return JSON.stringify({ savedAt, keys: secrets, snapshot })
}

/** What {@link toText} made a text of. @throws SyntaxError */
export function fromText(text: string): ClusterSnapshot {
  const { savedAt, keys, snapshot } = JSON.parse(text) as {
    savedAt: number
    keys: { current: string; previous?: string; next?: string }
    snapshot: MapSnapshot
  }
  const bytes = (hex: string) => Buffer.from(hex, 'hex')
  const { current, previous, next } = keys
  const optional = { previous: previous ? bytes(previous) : undefined, ...(next && { next: bytes(next) }) }
  return { savedAt, snapshot, keys: { current: bytes(current), ...optional } }
}

/**
 * What the rows mean. `map` is given where its rows are known to be the same: making it of 100,000 pins takes a tenth of a second.
 * @throws Error where the map is no map: slots without a group
 */
export function clusterOf(
  { snapshot, keys }: Pick<ClusterSnapshot, 'snapshot' | 'keys'>,
  map = new PartitionMap(snapshot),
): Cluster {
  const running = snapshot.nodes.filter(({ stage, state }) => stage === 'stage1' && state !== 'stopped')
  const nodes = running.map((row) => ({ edge: toEdge(row), isSilent: row.isSilent === true }))
  const edgesThat = (silent: boolean) =>
    nodes.flatMap(({ edge, isSilent }) => (edge && isSilent === silent ? [edge] : []))
  const [edges, silentEdges] = [edgesThat(false), edgesThat(true)]
  const inside = [...edges, ...silentEdges].flatMap((edge) => edge.inside)
  const addresses = [...inside, ...snapshot.members.map(udpEndpoint)].map(({ address }) => address)
  return { map, edges, silentEdges, insideAddresses: new Set(addresses), keys }
}

function toEdge({ name, addresses }: NodeRow): EdgeNode | undefined {
  const outside = toEndpoints(addresses.edge)
  const inside = toEndpoints(addresses.inside)
  return outside && inside && { name, outside, inside }
}

/** `a:p, a:p`; `undefined` unless all of them are addresses. */
function toEndpoints(list: string | undefined): readonly Endpoint[] | undefined {
  const places = (list ?? '').split(/,\s*/).map((text) => parseHostPort(text))
  return places.every((place) => place !== undefined) ? places.map(udpEndpoint) : undefined
}

import type { WantedPort } from '../src/net/port-check.ts'
import { type Config, workerCount } from '../src/ops/config-schema.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import { type EdgeNode, udpEndpoint } from '../src/partition/cluster.ts'

type Addressed = Pick<Config, 'node' | 'stage1'>

/** A node as its configuration has it: an inside face for each worker, on ports that follow each other. */
export function edgeNodeOf({ node, stage1 }: Addressed): EdgeNode {
  const inside = Array.from({ length: workerCount(stage1) }, (_, number) =>
    udpEndpoint({ ...stage1.inside, port: stage1.inside.port + number }),
  )
  return { name: node, outside: stage1.edge.map(udpEndpoint), inside }
}

/** The same for table `node`. */
export function shownAddresses({ outside, inside }: EdgeNode): { edge: string; inside: string } {
  const list = (places: EdgeNode['inside']) => places.map(formatHostPort).join(', ')
  return { edge: list(outside), inside: list(inside) }
}

/** What must be free before any worker opens it: a port that workers share is not refused to a stranger's process. */
export function wantedPorts({ outside, inside }: EdgeNode): WantedPort[] {
  const wanted = (protocol: WantedPort['protocol'], places: EdgeNode['inside'], option: string) =>
    places.map(({ address, port }): WantedPort => ({ protocol, address, port, option }))
  return [
    ...wanted('udp', outside, 'stage1.edge'),
    ...wanted('tcp', outside, 'stage1.edge'),
    ...wanted('udp', inside, 'stage1.inside'),
  ]
}

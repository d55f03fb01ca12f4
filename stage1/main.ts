import { ClusterMembership } from '../db/cluster-membership.ts'
import { Database } from '../db/database.ts'
import { DgramTransport } from '../src/net/dgram-transport.ts'
import { FlowTokens } from '../src/net/flow-token.ts'
import type { InboundBatch } from '../src/net/transport.ts'
import { systemClock } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import { formatHostPort, type HostPort } from '../src/ops/host-port.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { RunningNode } from '../src/ops/running-node.ts'
import type { EdgeNode } from '../src/partition/cluster.ts'
import { Edge } from './edge.ts'
import { Members } from './members.ts'
import type { Face } from './route-request.ts'

/**
 * Starts one stage-1 node and resolves when it forwards.
 * @throws TandemError PORT_TAKEN and the like, DATABASE_UNREACHABLE and the like
 */
export async function startStage1(config: Config, log: Logger): Promise<RunningNode> {
  const { stage1, node } = config
  const self = edgeNode(node, stage1)
  const db = await Database.open({ ...config.database, node }, log)
  const membership = await ClusterMembership.join({
    db,
    identity: {
      name: node,
      stage: 'stage1',
      addresses: { edge: formatHostPort(stage1.edge), inside: formatHostPort(stage1.inside) },
      version: null,
    },
    intervalMs: config.refreshIntervalMs,
    clock: systemClock,
    log,
  })
  const members = new Members({
    address: stage1.inside.address,
    node,
    probeIntervalMs: stage1.probeIntervalMs,
    clock: systemClock,
    onChange: ({ node: member, group }, state, reason) =>
      log[state === 'up' ? 'info' : 'warn'](
        { member, group, state },
        `member ${member} is ${state}: ${reason}`,
      ),
  })
  const cluster = () => membership.cluster
  const edge = new Edge({ self, cluster, tokens: new FlowTokens(() => cluster().keys), members, log })
  const listen = ({ address, port }: HostPort, face: Face) =>
    DgramTransport.open(
      { address, port, option: `stage1.${face === 'outside' ? 'edge' : 'inside'}` },
      {
        onMessages: (batch: InboundBatch) => edge.receive(batch, face),
        onError: (error, to) => log.debug({ err: error, to }, 'not sent'),
      },
    )
  const outside = await listen(stage1.edge, 'outside')
  const inside = await listen(stage1.inside, 'inside')
  edge.attach(outside, inside)

  let adopting = members.adopt(cluster().map)
  membership.onChange = ({ map }) => {
    adopting = adopting.then(() => members.adopt(map))
  }
  await adopting
  await membership.report('serving')

  return {
    describe: `stage 1 node ${node}, outside ${formatHostPort(stage1.edge)}, inside ${formatHostPort(stage1.inside)}`,
    async close() {
      await membership.leave()
      await adopting
      await members.close()
      await Promise.all([outside.close(), inside.close()])
      await db.close()
    },
  }
}

function edgeNode(name: string, { edge, inside }: Config['stage1']): EdgeNode {
  const endpoint = ({ address, port }: HostPort) => ({ transport: 'udp', address, port }) as const
  return { name, outside: endpoint(edge), inside: endpoint(inside) }
}

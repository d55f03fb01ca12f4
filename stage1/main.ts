import { join } from 'node:path'
import { ClusterMembership } from '../db/cluster-membership.ts'
import { Database } from '../db/database.ts'
import { FlowTokens } from '../src/net/flow-token.ts'
import { openUdp, udpImplementation } from '../src/net/udp.ts'
import { systemClock } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { RunningNode } from '../src/ops/running-node.ts'
import { type EdgeNode, edgeWorker, udpEndpoint } from '../src/partition/cluster.ts'
import { Edge } from './edge.ts'
import { Members } from './members.ts'
import type { Face } from './route-request.ts'

/** The configuration key of each face's address. */
const OPTION = { outside: 'stage1.edge', inside: 'stage1.inside' } as const

/**
 * Starts one stage-1 node and resolves when it forwards.
 * @throws TandemError PORT_TAKEN and the like, DATABASE_UNREACHABLE and the like
 */
export async function startStage1(config: Config, log: Logger): Promise<RunningNode> {
  const { stage1, node } = config
  const [first = { address: '', port: 0 }] = stage1.edge
  const self: EdgeNode = {
    name: node,
    outside: [udpEndpoint(first)],
    inside: [udpEndpoint(stage1.inside)],
  }
  const here = { outside: udpEndpoint(first), inside: udpEndpoint(stage1.inside) }
  const db = new Database({ ...config.database, node }, log)
  const membership = await ClusterMembership.join({
    db,
    identity: {
      name: node,
      stage: 'stage1',
      addresses: { edge: formatHostPort(first), inside: formatHostPort(stage1.inside) },
      version: null,
    },
    file: join(config.stateDir, `${node}.map`),
    intervalMs: config.refreshIntervalMs,
    clock: systemClock,
    log,
  })
  const cluster = () => membership.cluster

  const choice = config.net.udp
  log.info({ udp: udpImplementation(choice) }, 'how UDP is driven')
  let edge: Edge | undefined
  const listen = (face: Face) =>
    openUdp(
      { choice, ...here[face], option: OPTION[face] },
      {
        onMessages: (batch) => edge?.receive(batch, face),
        onError: (error, to) => log.debug({ err: error, to }, 'not sent'),
      },
    )
  const outside = await listen('outside')
  const inside = await listen('inside')
  const members = new Members({
    node,
    probeIntervalMs: stage1.probeIntervalMs,
    clock: systemClock,
    connect: (peer, events) =>
      openUdp({ address: here.inside.address, port: 0, option: OPTION.inside, peer, choice }, events),
    onChange: ({ node: member, group }, state, reason) =>
      log[state === 'up' ? 'info' : 'warn'](
        { member, group, state },
        `member ${member} is ${state}: ${reason}`,
      ),
  })
  membership.onChange = ({ map }) => void members.adopt(map)
  await members.adopt(cluster().map)
  const tokens = new FlowTokens(() => cluster().keys)
  edge = new Edge({ self: edgeWorker(self, 0), outside, inside, cluster, tokens, members, log })
  await membership.report('serving')

  return {
    describe: `stage 1 node ${node}, outside ${formatHostPort(here.outside)}, inside ${formatHostPort(here.inside)}`,
    async close() {
      await membership.leave()
      await Promise.all([outside.close(), inside.close()])
      await members.close()
      await db.close()
    },
  }
}

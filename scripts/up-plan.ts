import { join } from 'node:path'
import type { DemoAddresses } from '../db/demo.ts'
import { toEnvironment } from '../src/ops/config-env.ts'
import type { Config } from '../src/ops/config-schema.ts'
import { formatHostPort, type HostPort } from '../src/ops/host-port.ts'
import type { WantedPort } from './port-check.ts'

/** One process of `tandem up`. */
export interface PlannedNode {
  readonly name: string
  readonly stage: 'stage1' | 'stage2'
  readonly config: Config
}

const STAGE1_NAMES = ['s1', 's2']
const MEMBER_NAMES = ['a1', 'a2', 'b1', 'b2']

/** The nodes that `tandem up` runs, each with a whole configuration of its own. */
export function planNodes(config: Config, databaseUrl: readonly string[]): PlannedNode[] {
  const { host, edgePorts, insidePorts, memberPorts, dataDir } = config.up
  const database = { ...config.database, url: databaseUrl }
  const common = { ...config, database, stateDir: join(dataDir, 'nodes') }
  const at = (port: number | undefined): HostPort => ({ address: host, port: port ?? 0 })
  const edges = STAGE1_NAMES.map((name, i): PlannedNode => {
    const stage1 = { ...config.stage1, edge: at(edgePorts[i]), inside: at(insidePorts[i]) }
    return { name, stage: 'stage1', config: { ...common, node: name, stage1 } }
  })
  const members = MEMBER_NAMES.map((name, i): PlannedNode => {
    const stage2 = { ...config.stage2, listen: at(memberPorts[i]) }
    return { name, stage: 'stage2', config: { ...common, node: name, stage2 } }
  })
  return [...edges, ...members]
}

/** Where each member is to be found, for table `member`. */
export function memberAddresses(nodes: readonly PlannedNode[]): DemoAddresses {
  const members = nodes.filter((node) => node.stage === 'stage2')
  const addresses = members.map(({ name, config }) => [name, formatHostPort(config.stage2.listen)])
  return Object.fromEntries(addresses) as DemoAddresses
}

/** What must be free before anything is started. */
export function wantedPorts(config: Config): WantedPort[] {
  const { host, edgePorts, insidePorts, memberPorts, databasePort } = config.up
  const udp = (ports: readonly number[], option: string) =>
    ports.map((port): WantedPort => ({ protocol: 'udp', address: host, port, option }))
  const database: WantedPort = {
    protocol: 'tcp',
    address: '127.0.0.1',
    port: databasePort,
    option: 'up.databasePort',
  }
  return [
    ...(config.database.url.length > 0 ? [] : [database]),
    ...udp(edgePorts, 'up.edgePorts or up.host'),
    ...udp(insidePorts, 'up.insidePorts or up.host'),
    ...udp(memberPorts, 'up.memberPorts or up.host'),
  ]
}

/** The environment of a planned node: ours, with its configuration in place of every setting of ours. */
export function nodeEnvironment(node: PlannedNode, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const others = Object.entries(env).filter(
    ([name]) => !name.startsWith('TANDEM_') || name === 'TANDEM_VERBOSE',
  )
  return { ...Object.fromEntries(others), ...toEnvironment(node.config) }
}

import { join } from 'node:path'
import type { DemoAddresses } from '../db/demo.ts'
import type { WantedPort } from '../src/net/port-check.ts'
import { toEnvironment } from '../src/ops/config-env.ts'
import type { Config } from '../src/ops/config-schema.ts'
import { TandemError } from '../src/ops/errors.ts'
import { formatHostPort, type HostPort } from '../src/ops/host-port.ts'

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
    // One worker is enough for trying out, and starts quicker.
    const workers = config.stage1.workers || 1
    const stage1 = { ...config.stage1, edge: [at(edgePorts[i])], inside: at(insidePorts[i]), workers }
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

/** What must be free before anything is started. @throws TandemError CONFIG_INVALID if two want the same */
export function wantedPorts(config: Config): WantedPort[] {
  const { host, edgePorts, insidePorts, memberPorts, databasePort } = config.up
  const wanted = (protocol: WantedPort['protocol'], ports: readonly number[], option: string) =>
    ports.map((port): WantedPort => ({ protocol, address: host, port, option }))
  const workers = Array.from({ length: config.stage1.workers || 1 }, (_, worker) => worker)
  const insides = insidePorts.flatMap((first) => workers.map((worker) => first + worker))
  const all = [...insides, ...edgePorts, ...memberPorts]
  if (new Set(all).size < all.length) throw tooClose(workers.length)
  const database: WantedPort = {
    protocol: 'tcp',
    address: '127.0.0.1',
    port: databasePort,
    option: 'up.databasePort',
  }
  return [
    ...(config.database.url.length > 0 ? [] : [database]),
    ...wanted('udp', edgePorts, 'up.edgePorts or up.host'),
    ...wanted('tcp', edgePorts, 'up.edgePorts or up.host'),
    ...wanted('udp', insides, 'up.insidePorts or up.host'),
    ...wanted('udp', memberPorts, 'up.memberPorts or up.host'),
  ]
}

const tooClose = (workers: number) =>
  new TandemError(
    'CONFIG_INVALID',
    `up.insidePorts: ${workers} workers a node need ${workers} ports from each on`,
    {
      hint: 'set up.insidePorts further apart, and away from up.edgePorts and up.memberPorts',
    },
  )

/** The environment of a planned node: ours, with its configuration in place of every setting of ours. */
export function nodeEnvironment(node: PlannedNode, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const others = Object.entries(env).filter(
    ([name]) => !name.startsWith('TANDEM_') || name === 'TANDEM_VERBOSE',
  )
  return { ...Object.fromEntries(others), ...toEnvironment(node.config) }
}

import { join } from 'node:path'
import { ClusterMembership } from '../db/cluster-membership.ts'
import { Database } from '../db/database.ts'
import { requirePorts } from '../src/net/port-check.ts'
import { udpImplementation } from '../src/net/udp.ts'
import { systemClock } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { RunningNode } from '../src/ops/running-node.ts'
import { MemberLog } from './member-log.ts'
import { forkWorker } from './primary.ts'
import { Worker } from './worker.ts'
import { edgeNodeOf, shownAddresses, wantedPorts } from './worker-addresses.ts'
import { WorkerPool } from './worker-pool.ts'

/** Whatever forwards: workers in processes of their own, or one in this process. */
interface Forwarding {
  readonly mapVersion: number
  /** There is a new cluster. */
  adopt(): void
  close(): Promise<void>
}

/**
 * Starts one stage-1 node and resolves when it forwards. This process is the primary: it alone speaks to PostgreSQL, and
 * hands what it knows to the workers. Of one worker alone, it does the work itself.
 * @throws TandemError PORT_TAKEN and the like, DATABASE_UNREACHABLE and the like
 */
export async function startStage1(config: Config, log: Logger): Promise<RunningNode> {
  const self = edgeNodeOf(config)
  const addresses = shownAddresses(self)
  await requirePorts(wantedPorts(self))
  const db = new Database({ ...config.database, node: config.node }, log)
  let forwarding: Forwarding | undefined
  let membership: ClusterMembership | undefined
  try {
    membership = await ClusterMembership.join({
      db,
      identity: { name: config.node, stage: 'stage1', addresses, version: null },
      file: join(config.stateDir, `${config.node}.map`),
      intervalMs: config.refreshIntervalMs,
      clock: systemClock,
      log,
      mapVersion: () => forwarding?.mapVersion ?? 0,
    })
    log.info({ udp: udpImplementation(config.net.udp) }, 'how UDP is driven')
    forwarding = await (self.inside.length > 1 ? startPool : startAlone)(config, membership, log)
    const { adopt } = forwarding
    membership.onChange = () => adopt()
    // What has changed while they started.
    adopt()
    await membership.report('serving')
  } catch (error) {
    await membership?.leave()
    await forwarding?.close()
    await db.close()
    throw error
  }
  return {
    describe: `stage 1 node ${config.node}, outside ${addresses.edge}, inside ${addresses.inside}`,
    close: () => close(membership, forwarding, db),
  }
}

async function close(membership: ClusterMembership, forwarding: Forwarding, db: Database): Promise<void> {
  await membership.leave()
  await forwarding.close()
  await db.close()
}

type Start = (config: Config, membership: ClusterMembership, log: Logger) => Promise<Forwarding>

const startPool: Start = async (config, membership, log) => {
  const news = new MemberLog(log)
  const pool = new WorkerPool({
    config,
    clock: systemClock,
    log,
    current: () => membership,
    onMember: (each) => news.note(each),
    fork: forkWorker,
  })
  await pool.start()
  log.info({ pids: pool.pids }, 'all workers forward')
  return {
    get mapVersion() {
      return pool.mapVersion
    },
    adopt: () => pool.adopt(),
    close: () => pool.close(),
  }
}

const startAlone: Start = async (config, membership, log) => {
  const news = new MemberLog(log)
  const worker = await Worker.start({
    config,
    number: 0,
    isShared: false,
    cluster: membership.cluster,
    clock: systemClock,
    log,
    onMember: (each) => news.note(each),
  })
  return {
    get mapVersion() {
      return worker.mapVersion
    },
    adopt: () => void worker.adopt(membership.cluster),
    close: () => worker.close(),
  }
}

import { join } from 'node:path'
import { ClusterMembership } from '../db/cluster-membership.ts'
import { Database } from '../db/database.ts'
import { isAway } from '../db/database-error.ts'
import type { Share } from '../db/slot-ranges.ts'
import { FlowTokens } from '../src/net/flow-token.ts'
import type { Transport } from '../src/net/transport.ts'
import { openUdp, udpImplementation } from '../src/net/udp.ts'
import { systemClock, type Timer } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import { TandemError } from '../src/ops/errors.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { RunningNode } from '../src/ops/running-node.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import { NonceMint } from '../src/sip/nonce.ts'
import { TransactionLayer } from '../src/sip/transaction/layer.ts'
import { Authenticator } from './authenticator.ts'
import { DirectClients } from './direct-clients.ts'
import { HandOver } from './hand-over.ts'
import { Member } from './member.ts'
import { Probers } from './probers.ts'
import { ProxyCore } from './proxy-core.ts'
import { Registrar } from './registrar.ts'
import type { Serve } from './serve.ts'
import { Standstill } from './standstill.ts'
import { Store } from './store.ts'
import { Takeover } from './takeover.ts'

/** How long a member that stops waits at most for stage 1 to probe it once more; twice the default interval. */
const DRAIN_LIMIT_MS = 1_000

/** What speaks of the target, and not of one message (EMSGSIZE) or of us (ENOBUFS). */
const UNREACHABLE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'])

/**
 * Starts one stage-2 member and resolves when it serves.
 * @throws TandemError NODE_UNKNOWN, PORT_TAKEN and the like, DATABASE_UNREACHABLE and the like
 */
export async function startStage2(config: Config, log: Logger): Promise<RunningNode> {
  const { stage2, node, refreshIntervalMs: intervalMs } = config
  const clock = systemClock
  const db = new Database({ ...config.database, node }, log)
  const membership = await ClusterMembership.join({
    db,
    identity: {
      name: node,
      stage: 'stage2',
      addresses: { listen: formatHostPort(stage2.listen) },
      version: null,
    },
    file: join(config.stateDir, `${node}.map`),
    intervalMs,
    clock,
    log,
  })
  const cluster = () => membership.cluster
  const group = groupOf(node, cluster())
  const tokens = new FlowTokens(() => cluster().keys)
  const store = await Store.open({ db, config, clock, log, onHealth: () => void tellHealth() })
  const { location, directory, refresher, readThrough, commits } = store

  const standstill = new Standstill(clock)
  const directClients = new DirectClients(stage2.directClients)
  const member = new Member({ cluster, directClients, log })
  log.info({ udp: udpImplementation(config.net.udp) }, 'how UDP is driven')
  const transport = await openUdp(
    { ...stage2.listen, option: 'stage2.listen', choice: config.net.udp },
    {
      onMessages: (batch) => member.receive(batch),
      onError: (error, to) => {
        log.debug({ err: error, to }, 'not sent')
        if (to && UNREACHABLE.has(error.code ?? '')) layer.transportError(to)
      },
    },
  )
  const send: Transport['send'] = (text, to) => transport.send(text, to)
  const { t1Ms, t2Ms, t4Ms, timerCSec } = config.sip
  const timers = { t1Ms, t2Ms, t4Ms, timerCMs: timerCSec * 1000 }
  const layer = new TransactionLayer(
    { clock, send, timers, trusts: (source) => member.trusts(source) },
    member,
  )
  const serve: Serve = (request, source, user) => member.serve(request, source, user)
  const authenticator = new Authenticator({
    directory,
    realmOf: (domain) => cluster().map.realmOf(domain),
    nonces: new NonceMint(() => cluster().keys, clock),
    algorithms: stage2.digestAlgorithms,
    log,
  })
  const probers = new Probers(clock)
  member.attach({
    probers,
    layer,
    transport,
    standstill,
    registrar: new Registrar({
      reply: (request, source, answer) => member.reply(request, source, answer),
      authenticator,
      location,
      commits,
      clock,
      log,
      durability: stage2.durability,
      limits: { ...stage2.expires, maxContacts: stage2.maxContacts },
    }),
    proxy: new ProxyCore({
      layer,
      serve,
      directory,
      location,
      readThrough,
      cluster,
      tokens,
      clock,
      local: transport.local,
      send,
    }),
    takeover: new Takeover(clock, intervalMs, () => refresher.refresh()),
    handOver: new HandOver({
      node,
      local: transport.local,
      cluster,
      refreshMap: () => membership.refresh(),
      filling: (slot) => refresher.filling(slot),
      send,
      clock,
    }),
  })

  /** A member that lacks something serves all the same, and says what it is. */
  const tellHealth = async (): Promise<void> => {
    if (member.state !== 'serving' && member.state !== 'degraded') return
    const { reason } = store.health
    member.state = reason === undefined ? 'serving' : 'degraded'
    await membership.report(member.state, reason ?? null)
  }

  /** Until its users are in memory a member says that it is loading; without PostgreSQL and a snapshot that is until it is back. */
  let retry: Timer | undefined
  const load = async (): Promise<void> => {
    try {
      await store.load(sharesOf(node, cluster()))
    } catch (error) {
      if (!isAway(error)) throw error
      if (!retry) log.warn({ err: error }, 'loading waits for PostgreSQL; requests get 503 until then')
      retry = clock.schedule(intervalMs, () => void load())
      return
    }
    if (member.state === 'stopping') return
    membership.onChange = (changed) => void refresher.adopt(sharesOf(node, changed))
    // A map that came in force meanwhile.
    void refresher.adopt(sharesOf(node, cluster()))
    store.start()
    standstill.start()
    member.state = 'serving'
    const told = tellHealth()
    // PostgreSQL, which would have to be waited for, is away.
    if (store.health.reason === undefined) await told
  }
  await load()

  return {
    describe: `stage 2 member ${node} of group ${group.name}, ${formatHostPort(stage2.listen)}`,
    async close() {
      retry?.cancel()
      if (member.state === 'serving' || member.state === 'degraded') {
        member.state = 'draining'
        await probers.allTold(DRAIN_LIMIT_MS)
      }
      member.state = 'stopping'
      standstill.stop()
      membership.onChange = () => {}
      await store.close()
      await membership.leave()
      layer.close()
      await transport.close()
      await db.close()
    },
  }
}

/** What the map gives a member to keep; nothing if a new map has left it out. */
function sharesOf(node: string, { map }: Cluster): readonly Share[] {
  const groups = [...map.groups.values()]
  const own = groups.find(({ members }) => members.some((member) => member.node === node))
  if (!own) return []
  const { ranges, pinned } = own
  return pinned.users || pinned.prefixLengths.length > 0 ? [...ranges, pinned] : ranges
}

function groupOf(node: string, { map }: Cluster): Group {
  for (const group of map.groups.values())
    if (group.members.some((member) => member.node === node)) return group
  throw new TandemError('NODE_UNKNOWN', `node ${node} is no member of any group`, {
    hint: 'add it to table tandem.member, or configure the name of a member as `node`',
  })
}

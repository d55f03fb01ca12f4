import type { Clock, Timer } from '../src/ops/clock.ts'
import type { ClusterKeys } from '../src/ops/cluster-keys.ts'
import { TandemError } from '../src/ops/errors.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import type { PartitionMap } from '../src/partition/partition-map.ts'
import { loadCluster, saveCluster } from './cluster-file.ts'
import { KEYS_CHANNEL, loadClusterKeys } from './cluster-key-store.ts'
import { type ClusterSnapshot, clusterOf } from './cluster-snapshot.ts'
import type { Database, Log, Subscription } from './database.ts'
import { isAway } from './database-error.ts'
import { loadMap, type MapSnapshot } from './map-store.ts'
import { type MapWatch, watchMap } from './map-watch.ts'
import { heartbeat, type NodeReport, type NodeState, registerNode } from './node-store.ts'

export type Identity = Pick<NodeReport, 'name' | 'stage' | 'addresses' | 'version'>

export interface MembershipOptions {
  readonly db: Database
  readonly identity: Identity
  /** Between two heartbeats, and between two looks for a new map, ms. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Log
  /** Where the last good map is kept, for a start while PostgreSQL is away. */
  readonly file: string
  /** The version of the map by which the node works, where that is not at once the one read here: the oldest of its workers'. */
  readonly mapVersion?: () => number
}

/** In case a notification of new keys was missed: the next ones are known long before they sign, so this need not be quick. */
const KEYS_EVERY_BEATS = 10

/** How long a node that stops waits for PostgreSQL to hear of it. */
const LEAVE_LIMIT_MS = 1_000

/** One node's place in the cluster: what it knows of the others, kept up to date, and what it says of itself. */
export class ClusterMembership {
  readonly #options: MembershipOptions
  #cluster: Cluster
  #snapshot: MapSnapshot
  #state: NodeState = 'loading'
  #reason: string | null = null
  #watch: MapWatch | undefined
  #keysHeard: Subscription | undefined
  #timer: Timer | undefined
  #beating: Promise<void> = Promise.resolve()
  /** Beats under way or waiting their turn. */
  #due = 0
  #beats = 0
  #missed = false
  /** Whether this process has put its row in place. */
  #entered = false
  #saving: Promise<void> = Promise.resolve()
  #onChange: (cluster: Cluster) => void = () => {}

  private constructor(options: MembershipOptions, read: Pick<ClusterSnapshot, 'snapshot' | 'keys'>) {
    this.#options = options
    this.#snapshot = read.snapshot
    this.#cluster = clusterOf(read)
  }

  /**
   * Reads the cluster and enters the node, as loading. While PostgreSQL is away the last map that was saved here serves,
   * and the node is entered when PostgreSQL is back.
   * @throws TandemError, as `Database.query`, when nothing is saved either
   */
  static async join(options: MembershipOptions): Promise<ClusterMembership> {
    const { db, clock } = options
    const membership = new ClusterMembership(options, await readCluster(options))
    await membership.#beat()
    membership.#save()
    membership.#watch = watchMap(db, {
      intervalMs: options.intervalMs,
      clock,
      known: membership.#snapshot,
      onChange: (changed) => membership.#adopt(changed),
      onError: (error) => options.log.debug({ err: error }, 'map not read; the last one stays in force'),
    })
    membership.#keysHeard = db.listen(KEYS_CHANNEL, () => void membership.#hearKeys())
    membership.#beatLater()
    return membership
  }

  /** As it is now. */
  get cluster(): Cluster {
    return this.#cluster
  }

  /** The rows behind it. */
  get snapshot(): ClusterSnapshot {
    return { snapshot: this.#snapshot, keys: this.#cluster.keys, savedAt: this.#options.clock.now() }
  }

  /** Who hears of every new cluster, after it is in force. */
  set onChange(hearer: (cluster: Cluster) => void) {
    this.#onChange = hearer
  }

  /** Reads the map now; resolves when it is in force, or could not be read. */
  async refresh(): Promise<void> {
    await this.#watch?.refresh()
  }

  /** What the node says of itself from now on; the others hear of it soon. */
  async report(state: NodeState, reason: string | null = null): Promise<void> {
    this.#state = state
    this.#reason = reason
    await this.#beat()
  }

  /** Enters the node as stopped. PostgreSQL being away, or silent, does not hold it up for long. */
  async leave(): Promise<void> {
    this.#watch?.stop()
    this.#keysHeard?.stop()
    this.#timer?.cancel()
    let limit: Timer | undefined
    const late = new Promise<void>((resolve) => {
      limit = this.#options.clock.schedule(LEAVE_LIMIT_MS, resolve)
    })
    await Promise.race([this.report('stopped'), late])
    limit?.cancel()
    await this.#saving
  }

  #adopt(snapshot: MapSnapshot): void {
    const { log } = this.#options
    const from = this.#cluster.map.version
    const to = snapshot.version
    let cluster: Cluster
    try {
      cluster = clusterOf({ snapshot, keys: this.#cluster.keys }, this.#sameMap(snapshot))
    } catch (error) {
      return log.warn({ err: error }, `map version ${to} is no map; version ${from} stays in force`)
    }
    if (to !== from) log.info({ from, to }, `map version ${to} in force`)
    this.#logSilence(snapshot)
    this.#snapshot = snapshot
    this.#replace(cluster)
  }

  /** The map in force where a snapshot differs in nodes only. */
  #sameMap(snapshot: MapSnapshot): PartitionMap | undefined {
    return rowsOf(snapshot) === rowsOf(this.#snapshot) ? this.#cluster.map : undefined
  }

  #logSilence({ silent }: MapSnapshot): void {
    const { log } = this.#options
    const before = this.#snapshot.silent ?? []
    for (const node of silent) {
      if (!before.includes(node))
        log.warn({ stage1: node }, `stage-1 node ${node} is silent: others serve for it`)
    }
    for (const node of before) {
      if (!silent.includes(node)) log.info({ stage1: node }, `stage-1 node ${node} is silent no longer`)
    }
  }

  #replace(cluster: Cluster): void {
    this.#cluster = cluster
    this.#save()
    this.#onChange(cluster)
  }

  #save(): void {
    const { file, log } = this.#options
    const { snapshot } = this
    this.#saving = this.#saving
      .then(() => saveCluster(file, snapshot))
      .catch((error: unknown) =>
        log.warn({ err: error, file }, 'the map could not be saved for a start without PostgreSQL'),
      )
  }

  #report(): NodeReport {
    const { identity, intervalMs, mapVersion = () => this.#cluster.map.version } = this.#options
    return { ...identity, mapVersion: mapVersion(), state: this.#state, reason: this.#reason, intervalMs }
  }

  #beatLater(): void {
    this.#timer = this.#options.clock.schedule(this.#options.intervalMs, () => {
      // While PostgreSQL is silent, one waiting beat is enough.
      if (this.#due === 0) void this.#beat()
      this.#beatLater()
    })
  }

  /** One at a time, in the order of the calls. */
  #beat(): Promise<void> {
    this.#due++
    this.#beating = this.#beating.then(() => this.#beatNow()).finally(() => this.#due--)
    return this.#beating
  }

  async #beatNow(): Promise<void> {
    const { db, log } = this.#options
    try {
      const isKnown = this.#entered && (await heartbeat(db, this.#report()))
      if (!isKnown) await registerNode(db, this.#report())
      this.#entered = true
      if (++this.#beats % KEYS_EVERY_BEATS === 0) await this.#readKeys()
      if (this.#missed) log.info('PostgreSQL answers again')
      this.#missed = false
    } catch (error) {
      if (!this.#missed) log.warn({ err: error }, 'PostgreSQL does not answer')
      this.#missed = true
    }
  }

  /** A beat reads them again if this fails. */
  async #hearKeys(): Promise<void> {
    await this.#readKeys().catch((error: unknown) =>
      this.#options.log.debug({ err: error }, 'keys not read; the last ones stay in force'),
    )
  }

  async #readKeys(): Promise<void> {
    const keys = await loadClusterKeys(this.#options.db)
    // The map may have changed meanwhile, so the cluster is looked at only now.
    if (!isSame(keys, this.#cluster.keys)) this.#replace({ ...this.#cluster, keys })
  }
}

async function readCluster({
  db,
  file,
  clock,
  log,
}: MembershipOptions): Promise<Pick<ClusterSnapshot, 'snapshot' | 'keys'>> {
  try {
    const snapshot = await loadMap(db)
    if (snapshot.ranges.length === 0) throw noMap()
    return { snapshot, keys: await loadClusterKeys(db) }
  } catch (error) {
    const saved = isAway(error) ? await loadCluster(file) : undefined
    if (!saved) throw error
    const ageSec = Math.round((clock.now() - saved.savedAt) / 1000)
    const { version } = saved.snapshot
    log.warn(
      { err: error, version, ageSec },
      `PostgreSQL is away: map version ${version}, saved ${ageSec} s ago, is in force`,
    )
    return saved
  }
}

const noMap = () =>
  new TandemError('MAP_MISSING', 'the database has no partition map: no slot has an owner', {
    hint: 'make groups, members and slot ranges as docs/partition-map.md shows',
  })

const isSame = (a: ClusterKeys, b: ClusterKeys): boolean =>
  equal(a.current, b.current) && equal(a.previous, b.previous) && equal(a.next, b.next)

const equal = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0)

/** All of the map's rows as one text. */
const rowsOf = ({ nodes: _, nodesRev: __, silent: ___, ...rows }: MapSnapshot): string => JSON.stringify(rows)

import { type ClusterSnapshot, toText } from '../db/cluster-snapshot.ts'
import type { Clock } from '../src/ops/clock.ts'
import { workerCount } from '../src/ops/config-schema.ts'
import type { Logger } from '../src/ops/logging.ts'
import { asNodeReport } from '../src/ops/node-report.ts'
import { type SupervisedProcess, Supervisor } from '../src/ops/supervisor.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import type { PartitionMap } from '../src/partition/partition-map.ts'
import type { ClusterUpdate, FromWorker, MemberNews, ToWorker, WorkerConfig } from './worker-messages.ts'

/** A process that can be told things. */
export interface WorkerChannel extends SupervisedProcess {
  send(message: ToWorker): void
}

export interface PoolOptions {
  readonly config: WorkerConfig
  readonly clock: Clock
  readonly log: Logger
  /** What all workers are to work by. */
  readonly current: () => { readonly cluster: Cluster; readonly snapshot: ClusterSnapshot }
  readonly onMember: (news: MemberNews) => void
  /** Begins a process that runs worker-main. */
  readonly fork: () => WorkerChannel
}

/** How long a worker may take to close its sockets. */
const STOP_LIMIT_MS = 600

/** The workers of a stage-1 node: each is started again under its number when it dies, and works by the cluster of the primary. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #supervisor: Supervisor
  /** By number; what has died stays until the next takes its place. */
  readonly #workers: PooledWorker[] = []
  readonly #names: string[]
  /** The last update as text, for workers that need the same. */
  #encoded: { readonly cluster: Cluster; readonly keepsMap: boolean; readonly text: string } | undefined

  constructor(options: PoolOptions) {
    this.#options = options
    const { clock, log, config } = options
    this.#supervisor = new Supervisor({ clock, log, firstDelayMs: 0 })
    this.#names = Array.from({ length: workerCount(config.stage1) }, (_, number) => `worker ${number}`)
  }

  /**
   * Resolves when all workers forward. After a failure none is left.
   * @throws TandemError PORT_TAKEN and the like
   */
  async start(): Promise<void> {
    try {
      await Promise.all(
        this.#names.map((name, number) => this.#supervisor.start({ name, spawn: () => this.#spawn(number) })),
      )
    } catch (error) {
      this.#supervisor.kill()
      throw error
    }
  }

  /** Hands the cluster to all workers. One that is still busy with the one before it gets the latest after that. */
  adopt(): void {
    for (const worker of this.#workers) worker.update()
  }

  /** The oldest version of the map by which any of them works. */
  get mapVersion(): number {
    return Math.min(...this.#workers.map(({ mapVersion }) => mapVersion))
  }

  /** By worker number; undefined for one that is dead at the moment. */
  get pids(): (number | undefined)[] {
    return this.#names.map((name) => this.#supervisor.pidOf(name))
  }

  async close(): Promise<void> {
    await this.#supervisor.stop(this.#names, STOP_LIMIT_MS)
  }

  #spawn(number: number): SupervisedProcess {
    const { fork, current, onMember } = this.#options
    // No more than a worker needs: the rest has the database's password.
    const { node, stage1, net, log } = this.#options.config
    const config = { node, stage1, net, log }
    const channel = fork()
    const update = (known: PartitionMap | undefined) => this.#update(known)
    const map = () => current().cluster.map
    const start = () => channel.send({ type: 'start', number, config, cluster: update(undefined) })
    const worker = new PooledWorker(channel, { start, update, onMember, map })
    this.#workers[number] = worker
    return {
      get pid() {
        return channel.pid
      },
      on: channel.on.bind(channel),
      // A signal would not tell an order of ours from one to the whole group of processes.
      kill: (signal) => (signal === 'SIGTERM' ? worker.stop() : channel.kill(signal)),
    }
  }

  /** Of the cluster as it is now, for a worker that has that map. */
  #update(known: PartitionMap | undefined): ClusterUpdate {
    const { cluster, snapshot } = this.#options.current()
    const keepsMap = known === cluster.map
    if (this.#encoded?.cluster !== cluster || this.#encoded.keepsMap !== keepsMap) {
      this.#encoded = { cluster, keepsMap, text: toText(keepsMap ? withoutMap(snapshot) : snapshot) }
    }
    return { type: 'cluster', keepsMap, text: this.#encoded.text }
  }
}

/** Without what may be large: 100,000 pins are 6 MB. */
function withoutMap({ snapshot, ...rest }: ClusterSnapshot): ClusterSnapshot {
  return { ...rest, snapshot: { ...snapshot, ranges: [], pins: [], domains: [] } }
}

interface PooledWorkerOptions {
  readonly start: () => void
  readonly update: (known: PartitionMap | undefined) => ClusterUpdate
  readonly map: () => PartitionMap
  readonly onMember: (news: MemberNews) => void
}

/** One process. It has one update at a time to work on, so that nothing queues up before a process that does not listen. */
class PooledWorker {
  readonly #channel: WorkerChannel
  readonly #options: PooledWorkerOptions
  /** What it was sent last. */
  #map: PartitionMap
  /** As it says. */
  #mapVersion: number
  #isBusy = true
  #isBehind = false
  #isGone = false

  constructor(channel: WorkerChannel, options: PooledWorkerOptions) {
    this.#channel = channel
    this.#options = options
    this.#map = options.map()
    this.#mapVersion = this.#map.version
    channel.on('message', (message) => this.#receive(message as FromWorker))
    channel.on('exit', () => {
      this.#isGone = true
    })
  }

  get mapVersion(): number {
    // The one that takes its place will have the latest.
    return this.#isGone ? Number.POSITIVE_INFINITY : this.#mapVersion
  }

  update(): void {
    if (this.#isGone) return
    if (this.#isBusy) {
      this.#isBehind = true
      return
    }
    this.#isBusy = true
    this.#isBehind = false
    const update = this.#options.update(this.#map)
    this.#map = this.#options.map()
    this.#channel.send(update)
  }

  stop(): boolean {
    this.#channel.send({ type: 'stop' })
    return true
  }

  #start(): void {
    this.#isBehind = false
    this.#map = this.#options.map()
    this.#mapVersion = this.#map.version
    this.#options.start()
  }

  #receive(message: FromWorker): void {
    if (message.type === 'listening') return this.#start()
    if (message.type === 'member') return this.#options.onMember(message)
    if (message.type === 'adopted') this.#mapVersion = message.mapVersion
    else if (asNodeReport(message)?.type !== 'ready') return
    this.#isBusy = false
    if (this.#isBehind) this.update()
  }
}

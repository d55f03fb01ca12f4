import { FlowTokens } from '../src/net/flow-token.ts'
import { openTcp } from '../src/net/tcp.ts'
import type { Transport, TransportEvents } from '../src/net/transport.ts'
import { openUdp } from '../src/net/udp.ts'
import type { Clock } from '../src/ops/clock.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import type { Logger } from '../src/ops/logging.ts'
import { type Cluster, type EdgeWorker, edgeWorker } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { Edge } from './edge.ts'
import { Guard } from './guard.ts'
import { Members } from './members.ts'
import { Outside, type Streams } from './outside.ts'
import { Repeater } from './repeater.ts'
import type { Face } from './route-request.ts'
import { edgeNodeOf } from './worker-addresses.ts'
import type { MemberNews, WorkerConfig } from './worker-messages.ts'

export interface WorkerOptions {
  readonly config: WorkerConfig
  /** From 0. */
  readonly number: number
  /** Whether other processes serve the same outside face. */
  readonly isShared: boolean
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: Logger
  /** A member has changed its state, as this worker sees it. */
  readonly onMember: (news: MemberNews) => void
}

/** The configuration key of each face's address. */
const OPTION = { outside: 'stage1.edge', inside: 'stage1.inside' } as const

/** One process's share of a stage-1 node: its sockets, its links to the members, and the proxy between them. */
export class Worker {
  readonly #options: WorkerOptions
  readonly #self: EdgeWorker
  readonly #members: Members
  /** What has to be closed, also after half a start. */
  readonly #opened: { close(): Promise<void> }[] = []
  #cluster: Cluster
  #edge: Edge | undefined

  private constructor(options: WorkerOptions) {
    const { config, number, clock } = options
    this.#options = options
    this.#cluster = options.cluster
    this.#self = edgeWorker(edgeNodeOf(config), number)
    this.#members = new Members({
      node: config.node,
      probeIntervalMs: config.stage1.probeIntervalMs,
      clock,
      connect: (peer, events) =>
        openUdp(
          {
            address: this.#self.inside.address,
            port: 0,
            option: OPTION.inside,
            peer,
            choice: config.net.udp,
          },
          events,
        ),
      onChange: ({ node: member, group, ...place }, state, reason) =>
        options.onMember({ type: 'member', member, group, address: formatHostPort(place), state, reason }),
    })
  }

  /**
   * Resolves when it forwards. After a failure nothing is left open.
   * @throws TandemError PORT_TAKEN and the like
   */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options)
    try {
      await worker.#open()
    } catch (error) {
      await worker.close()
      throw error
    }
    return worker
  }

  /** For people. */
  get describe(): string {
    return `inside ${formatHostPort(this.#self.inside)}`
  }

  /** The version of the map by which it works. */
  get mapVersion(): number {
    return this.#cluster.map.version
  }

  /** Works by `cluster` from now on; resolves when there is a link to each of its members. */
  adopt(cluster: Cluster): Promise<void> {
    this.#cluster = cluster
    return this.#members.adopt(cluster.map)
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((each) => each.close()))
    await this.#members.close()
  }

  async #open(): Promise<void> {
    const { config, clock, isShared, log } = this.#options
    const guard = new Guard({ config: config.stage1.guard, clock, log })
    this.#opened.push({ close: async () => guard.close() })
    const udp: Transport[] = []
    const tcp: Streams[] = []
    for (const own of this.#self.node.outside) {
      udp.push(await this.#listen('outside', own, isShared))
      tcp.push(await this.#accept(own, guard))
    }
    const inside = await this.#listen('inside', this.#self.inside, false)
    await this.#members.adopt(this.#cluster.map)
    const cluster = () => this.#cluster
    const repeater = new Repeater(clock)
    this.#opened.push({ close: async () => repeater.close() })
    this.#edge = new Edge({
      repeater,
      self: this.#self,
      outside: new Outside({ udp, tcp }),
      inside,
      cluster,
      tokens: new FlowTokens(() => cluster().keys),
      members: this.#members,
      stayInPath: config.stage1.stayInPath,
      guard,
      clock,
      log,
    })
  }

  async #listen(face: Face, { address, port }: Endpoint, shared: boolean): Promise<Transport> {
    const options = { address, port, option: OPTION[face], shared, choice: this.#options.config.net.udp }
    return this.#keep(await openUdp(options, this.#events(face)))
  }

  async #accept({ address, port }: Endpoint, guard: Guard): Promise<Streams> {
    const { config, clock } = this.#options
    const options = {
      address,
      port,
      option: OPTION.outside,
      limits: config.stage1.tcp,
      clock,
      admits: (from: string) => !guard.isBanned({ transport: 'tcp', address: from, port: 0 }),
      onDefect: (source: Endpoint) => guard.noteRefused(source),
    }
    return this.#keep(await openTcp(options, this.#events('outside')))
  }

  #keep<T extends Transport>(socket: T): T {
    this.#opened.push(socket)
    return socket
  }

  #events(face: Face): TransportEvents {
    return {
      onMessages: (batch) => this.#edge?.receive(batch, face),
      onError: (error, to, unsent) => {
        this.#options.log.debug({ err: error, to }, 'not sent')
        if (to && unsent !== undefined) this.#edge?.unsent(unsent, to)
      },
    }
  }
}

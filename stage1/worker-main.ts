import { clusterOf, fromText } from '../db/cluster-snapshot.ts'
import { systemClock } from '../src/ops/clock.ts'
import { exitStatus, TandemError } from '../src/ops/errors.ts'
import { createLogger, flushed, type Logger } from '../src/ops/logging.ts'
import { failedReport } from '../src/ops/node-report.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import { Worker } from './worker.ts'
import type { ClusterUpdate, FromWorker, ToWorker } from './worker-messages.ts'

/*
 * The process of one worker of a stage-1 node. All that it knows it is told by the primary over the channel between them,
 * and it ends with the primary. Signals that reach the whole group of processes (Ctrl-C, systemd) are the primary's to obey.
 */

type Start = Extract<ToWorker, { type: 'start' }>

/** Resolves when it has left, for which the primary must live. */
const tell = (message: FromWorker) =>
  new Promise<void>((resolve) => {
    if (!process.connected) resolve()
    else process.send?.(message, undefined, undefined, () => resolve())
  })

class WorkerProcess {
  readonly #log: Logger
  readonly #start: Start
  #cluster: Cluster
  #worker: Worker | undefined

  constructor(start: Start) {
    this.#start = start
    this.#log = createLogger(start.config.log, { node: start.config.node, worker: start.number })
    this.#cluster = read(start.cluster)
    process.on('uncaughtException', (error) => this.#bug(error))
    process.on('unhandledRejection', (error) => this.#bug(error))
  }

  async run(): Promise<void> {
    const { config, number } = this.#start
    try {
      this.#worker = await Worker.start({
        config,
        number,
        isShared: true,
        cluster: this.#cluster,
        clock: systemClock,
        log: this.#log,
        onMember: (news) => void tell(news),
      })
    } catch (error) {
      if (!(error instanceof TandemError)) return this.#bug(error)
      await tell(failedReport(error))
      process.exit(exitStatus.failure)
    }
    await tell({ type: 'ready', describe: this.#worker.describe })
  }

  async adopt(update: ClusterUpdate): Promise<void> {
    this.#cluster = read(update, this.#cluster)
    await this.#worker?.adopt(this.#cluster)
    await tell({ type: 'adopted', mapVersion: this.#cluster.map.version })
  }

  async stop(): Promise<void> {
    await this.#worker?.close()
    await flushed(this.#log)
    process.exit(0)
  }

  #bug(error: unknown): void {
    this.#log.fatal({ err: error }, 'a bug in Tandem ends this process')
    process.exit(exitStatus.bug)
  }
}

function read({ text, keepsMap }: ClusterUpdate, before?: Cluster): Cluster {
  return clusterOf(fromText(text), keepsMap ? before?.map : undefined)
}

let worker: WorkerProcess | undefined

function receive(message: ToWorker): void {
  switch (message.type) {
    case 'start':
      worker = new WorkerProcess(message)
      void worker.run()
      return
    case 'cluster':
      void worker?.adopt(message)
      return
    case 'stop':
      if (worker) void worker.stop()
      else process.exit(0)
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
process.on('message', receive)
// Until somebody listens, node:cluster would take what comes and drop it.
void tell({ type: 'listening' })

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { nodeLogin } from '../db/node-login.ts'
import { requirePorts } from '../src/net/port-check.ts'
import { systemClock } from '../src/ops/clock.ts'
import type { Config } from '../src/ops/config.ts'
import { exitStatus } from '../src/ops/errors.ts'
import { createLogger, flushed, type Logger } from '../src/ops/logging.ts'
import { type Program, Supervisor } from '../src/ops/supervisor.ts'
import { phonesIn, writeDemoPhones } from './demo-phones.ts'
import { whenAskedToStop } from './stop-signals.ts'
import { openUpDatabase, prepareContents, type UpDatabase } from './up-database.ts'
import { memberAddresses, nodeEnvironment, type PlannedNode, planNodes, wantedPorts } from './up-plan.ts'
import { summary } from './up-summary.ts'
import { packageVersion } from './version.ts'

/** What each part may take of the five seconds in which everything has to be stopped. */
const STOP_LIMITS_MS = { stage1: 1_000, stage2: 1_900, database: 1_900 } as const

/** `tandem up`: a whole system on this machine, until Ctrl-C or SIGTERM. */
export async function up(given: Config): Promise<void> {
  // This command is for people, in a file too.
  const format = given.log.format === 'auto' ? 'text' : given.log.format
  const config: Config = { ...given, log: { ...given.log, format } }
  const log = createLogger(config.log, { node: 'up' })
  process.stdout.on('error', () => {}) // the terminal may close; what runs is stopped all the same

  const system = new UpSystem(config, log)
  const askedToStop = whenAskedToStop(() => {
    log.warn('stopped by force')
    system.kill()
    process.exit(exitStatus.failure)
  })
  const started = system.start()
  const signal = await Promise.race([askedToStop, started.then(() => undefined)]).catch(async (error) => {
    await system.stop()
    throw error
  })
  started.catch(() => {}) // a start that is interrupted ends in an error of its own
  if (signal === undefined) process.stdout.write(`\n${await started}\n\n`)
  const why = signal ?? (await askedToStop)

  log.info(`${why}: stopping stage 1, stage 2 and PostgreSQL`)
  const atMs = performance.now()
  await system.stop()
  log.info(`stopped in ${((performance.now() - atMs) / 1000).toFixed(1)} s`)
  await flushed(log)
  process.exit(0)
}

class UpSystem {
  readonly #config: Config
  readonly #log: Logger
  readonly #supervisor: Supervisor
  #nodes: readonly PlannedNode[] = []
  #database: Promise<UpDatabase> | undefined
  #stopping = false

  constructor(config: Config, log: Logger) {
    this.#config = config
    this.#log = log
    this.#supervisor = new Supervisor({ clock: systemClock, log })
  }

  /** Resolves with what to tell people once everything is ready. */
  async start(): Promise<string> {
    const atMs = performance.now()
    await requirePorts(wantedPorts(this.#config))
    this.#goOn()
    this.#database = openUpDatabase(this.#config, this.#log)
    const database = await this.#database
    const addresses = memberAddresses(planNodes(this.#config, database.urls))
    const contents = await prepareContents(this.#config, database, addresses, this.#log)
    this.#nodes = planNodes(this.#config, await nodeUrls(database))
    // Members first: an edge that finds none of them answers 503.
    await this.#startNodes('stage2')
    await this.#startNodes('stage1')
    const edge = this.#nodes.find(({ stage }) => stage === 'stage1')?.config.stage1.edge[0]
    if (database.dataDir !== undefined && edge) writeDemoPhones(phonesIn(database.dataDir), edge)
    this.#log.info(`everything is ready after ${((performance.now() - atMs) / 1000).toFixed(1)} s`)
    return summary({ version: packageVersion(), nodes: this.#nodes, database, contents })
  }

  /** In order, each part within its limit. Also stops what a failed or interrupted start has left. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#supervisor.stop(this.#names('stage1'), STOP_LIMITS_MS.stage1)
    await this.#supervisor.stop(this.#names('stage2'), STOP_LIMITS_MS.stage2)
    const closed = this.#database?.then((database) => database.close()).catch(() => {})
    await within(STOP_LIMITS_MS.database, closed)
  }

  kill(): void {
    this.#stopping = true
    this.#supervisor.kill()
  }

  async #startNodes(stage: PlannedNode['stage']): Promise<void> {
    this.#goOn()
    const starts = this.#nodes.filter((node) => node.stage === stage).map((node) => this.#startNode(node))
    await Promise.all(starts)
  }

  async #startNode(node: PlannedNode): Promise<void> {
    const describe = await this.#supervisor.start(programOf(node))
    this.#log.info(`${node.name} is ready (pid ${this.#supervisor.pidOf(node.name)}): ${describe}`)
  }

  #names(stage: PlannedNode['stage']): string[] {
    return this.#nodes.filter((node) => node.stage === stage).map(({ name }) => name)
  }

  #goOn(): void {
    if (this.#stopping) throw new Error('interrupted')
  }
}

const COMMAND = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? 'tandem.ts' : 'tandem.js', import.meta.url),
)

function programOf(node: PlannedNode): Program {
  const env = nodeEnvironment(node, process.env)
  // A session of its own: Ctrl-C in the terminal reaches only us, and we stop the nodes in order.
  return { name: node.name, spawn: () => fork(COMMAND, [node.stage], { env, detached: true }) }
}

/** In a database of our own the nodes get a login that may do what nodes do and nothing else. */
async function nodeUrls({ urls, dataDir }: UpDatabase): Promise<readonly string[]> {
  return dataDir === undefined ? urls : Promise.all(urls.map(nodeLogin))
}

/** Waits for `work`, but not longer than that. */
async function within(limitMs: number, work: Promise<void> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([work, limit])
  clearTimeout(timer)
}

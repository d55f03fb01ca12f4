import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../../db/embedded.ts'
import { migrate } from '../../db/migrate.ts'
import { nodeLogin } from '../../db/node-login.ts'
import { configKeys } from '../../src/ops/config-schema.ts'
import { silent } from './database.ts'
import { Relay } from './relay.ts'

/** With TEST_BUILT=1 what `npm run build` has made: it starts in a fraction of the time, for long runs. */
const [FLAGS, SCRIPT] =
  process.env.TEST_BUILT === '1' ? [[], 'dist/scripts/tandem.js'] : [['--import=tsx'], 'scripts/tandem.ts']
const COMMAND = fileURLToPath(new URL(`../../${SCRIPT}`, import.meta.url))
const READY_MS = 180_000
/** Of a state directory: enough for a map and a snapshot, and soon full. */
const DISK_BYTES = 4 * 1024 * 1024
export const MEMBERS = ['a1', 'a2'] as const
export type MemberName = (typeof MEMBERS)[number]

export interface FaultyOptions {
  readonly folder: string
  /** `127.0.9.`: the edges get .1 and .2, the members .11 and .12. */
  readonly network: string
  readonly databasePort: number
  /** HA1 of the users, by name. */
  readonly users: ReadonlyMap<string, string>
}

/**
 * One group of two members, two stage-1 nodes and a PostgreSQL, all real processes, each of which can be made to fail: killed, stopped,
 * cut off, or left without space on its disk.
 */
export class FaultySystem {
  /** Why no disk can be filled; `undefined` where it can. */
  readonly noDisks: string | undefined
  readonly #options: FaultyOptions
  readonly #nodes = new Map<string, FaultyNode>()
  readonly #relays = new Map<string, Relay>()
  readonly #mounted: string[] = []
  #postgres: Embedded | undefined
  #url = ''

  private constructor(options: FaultyOptions) {
    this.#options = options
    this.noDisks = process.getuid?.() === 0 ? undefined : 'needs root, to mount a small disk'
  }

  static async start(options: FaultyOptions): Promise<FaultySystem> {
    const system = new FaultySystem(options)
    try {
      await system.#start()
      return system
    } catch (error) {
      await system.close()
      throw error
    }
  }

  get edges(): { address: string; port: number }[] {
    return [1, 2].map((n) => ({ address: this.#options.network + n, port: 5060 }))
  }

  get postgresRuns(): boolean {
    return this.#postgres !== undefined
  }

  node(name: string): FaultyNode {
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`no node ${name}`)
    return node
  }

  relay(name: MemberName): Relay {
    return this.#relays.get(name) as Relay
  }

  async sql<Row extends object>(text: string, values?: unknown[]): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.#url, connectionTimeoutMillis: 2_000 })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  /** All its processes at once, as by the system when memory is short. */
  async killPostgres(): Promise<void> {
    const postgres = this.#postgres
    if (!postgres) return
    this.#postgres = undefined
    const pid = Number(
      readFileSync(join(this.#options.folder, 'db/postgres/postmaster.pid'), 'utf8').split('\n')[0],
    )
    for (const each of [pid, ...childrenOf(pid)]) process.kill(each, 'SIGKILL')
    await postgres.exited
  }

  async startPostgres(): Promise<void> {
    const { folder, databasePort } = this.#options
    this.#postgres ??= await startEmbedded({
      dataDir: join(folder, 'db'),
      port: databasePort,
      initdbFlags: ['--no-sync'],
    })
  }

  fillDisk(name: MemberName): void {
    const file = openSync(this.#filler(name), 'w')
    const block = Buffer.alloc(64 * 1024)
    try {
      for (let size = block.length; size >= 1; ) {
        try {
          writeSync(file, block, 0, size)
        } catch {
          size = size === 1 ? 0 : Math.max(1, size >> 2)
        }
      }
    } finally {
      closeSync(file)
    }
  }

  freeDisk(name: MemberName): void {
    rmSync(this.#filler(name), { force: true })
  }

  /** Bytes in a member's spool, without its head. */
  spooled(name: MemberName): number {
    try {
      return statSync(join(this.#stateDir(name), `${name}.spool`)).size - 22
    } catch {
      return 0
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.kill()))
    for (const relay of this.#relays.values()) await relay.close()
    await this.#postgres?.close()
    for (const folder of this.#mounted) execFileSync('umount', ['-l', folder])
  }

  async #start(): Promise<void> {
    await this.startPostgres()
    this.#url = (await this.#postgres)?.url ?? ''
    await migrate(this.#url, silent)
    await this.#seed()
    const url = new URL(await nodeLogin(this.#url))
    for (const name of MEMBERS) {
      const relay = await Relay.open({ host: '127.0.0.1', port: this.#options.databasePort })
      this.#relays.set(name, relay)
      const own = new URL(url)
      own.port = String(relay.port)
      this.#prepareDisk(name)
      this.#nodes.set(name, this.#member(name, own.href))
    }
    for (const n of [1, 2]) this.#nodes.set(`s${n}`, this.#edge(`s${n}`, n, url.href))
    await Promise.all(MEMBERS.map((name) => this.node(name).start()))
    await Promise.all(['s1', 's2'].map((name) => this.node(name).start()))
  }

  async #seed(): Promise<void> {
    const { network, users } = this.#options
    await this.sql(`insert into tandem.domain (name) values ('example.com')`)
    await this.sql(
      `insert into tandem.subscriber (domain, username, ha1_md5)
      select 'example.com', * from unnest($1::text[], $2::text[])`,
      [[...users.keys()], [...users.values()]],
    )
    await this.sql(`begin; insert into tandem.sip_group (name) values ('a');
      insert into tandem.member (node, group_name, role, sip_address) values
        ('a1', 'a', 'master', '${network}11:5071'), ('a2', 'a', 'slave', '${network}12:5071');
      insert into tandem.slot_range (first, last, group_name) values (0, 16383, 'a'); commit`)
  }

  #member(name: MemberName, databaseUrl: string): FaultyNode {
    return this.#process(name, 'stage2', databaseUrl, {
      TANDEM_STAGE2_LISTEN: `${this.#options.network}1${name.slice(1)}:5071`,
      TANDEM_STAGE2_SNAPSHOT_INTERVAL_SEC: '2',
      TANDEM_STAGE2_SPOOL_PATIENCE_MS: '700',
    })
  }

  #edge(name: string, n: number, databaseUrl: string): FaultyNode {
    const workers = configKeys.some(({ variable }) => variable === 'TANDEM_STAGE1_WORKERS')
    return this.#process(name, 'stage1', databaseUrl, {
      TANDEM_STAGE1_EDGE: `${this.#options.network}${n}:5060`,
      TANDEM_STAGE1_INSIDE: `${this.#options.network}${n}:5160`,
      ...(workers && { TANDEM_STAGE1_WORKERS: '1' }),
    })
  }

  #process(name: string, stage: string, databaseUrl: string, more: NodeJS.ProcessEnv): FaultyNode {
    const log = join(this.#options.folder, `${name}.log`)
    return new FaultyNode(name, stage, log, {
      ...process.env,
      NODE_OPTIONS: '',
      TANDEM_NODE: name,
      TANDEM_DATABASE_URL: databaseUrl,
      TANDEM_DATABASE_CONNECT_TIMEOUT_MS: '1000',
      TANDEM_STATE_DIR: this.#stateDir(name),
      TANDEM_LOG_FORMAT: 'json',
      ...more,
    })
  }

  #stateDir(name: string): string {
    return join(this.#options.folder, `${name}-state`)
  }

  #filler(name: MemberName): string {
    return join(this.#stateDir(name), 'filler')
  }

  #prepareDisk(name: MemberName): void {
    const folder = this.#stateDir(name)
    mkdirSync(folder, { recursive: true })
    if (this.noDisks !== undefined) return
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tandem-test', folder])
    this.#mounted.push(folder)
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  } catch {
    // Elsewhere they go by themselves, a little later.
    return []
  }
}

/** One process of Tandem. */
export class FaultyNode {
  readonly name: string
  readonly #stage: string
  readonly #log: string
  readonly #env: NodeJS.ProcessEnv
  #process: ChildProcess | undefined

  constructor(name: string, stage: string, log: string, env: NodeJS.ProcessEnv) {
    this.name = name
    this.#stage = stage
    this.#log = log
    this.#env = env
  }

  get runs(): boolean {
    return this.#process !== undefined
  }

  /** Everything that it has ever said. */
  get output(): string {
    return readFileSync(this.#log, 'utf8')
  }

  /** Begins to start it; {@link start} also waits until it is ready. */
  spawn(): void {
    if (this.#process) return
    const out = openSync(this.#log, 'a')
    const child = spawn(process.execPath, [...FLAGS, COMMAND, this.#stage], {
      env: this.#env,
      stdio: ['ignore', out, out],
    })
    closeSync(out)
    this.#process = child
    child.once('exit', () => {
      if (this.#process === child) this.#process = undefined
    })
  }

  async start(): Promise<void> {
    if (this.#process) return
    const before = this.#starts()
    this.spawn()
    for (const until = Date.now() + READY_MS; Date.now() < until && this.#process; await pause(50)) {
      if (this.#starts() > before) return
    }
    throw new Error(`${this.name} did not start:\n${this.output.slice(-4_000)}`)
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (!child) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** It stands still, and knows nothing of it. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  #starts(): number {
    try {
      return this.output.match(/"ready: /g)?.length ?? 0
    } catch {
      return 0
    }
  }
}

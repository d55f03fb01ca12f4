import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Phone, type PhoneOptions } from './phone.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/tandem.ts', import.meta.url))
const READY_MS = 50_000

export interface TandemOptions {
  /** Loopback address of its own, such as 127.0.40.1. */
  readonly host: string
  /** Of its own PostgreSQL. */
  readonly databasePort?: number
  /** Of one that it neither starts nor stops, in place of its own. */
  readonly databaseUrl?: string
  readonly dataDir: string
  /** Of each stage-1 node; 1 if not given. */
  readonly workers?: number
}

/** Of the first workers of the two stage-1 nodes, where they have several. */
export const INSIDE_PORTS = [5160, 5180] as const

/** A whole system as `npm start` runs it: real processes, a real PostgreSQL, on a loopback address of its own. */
export class Tandem {
  readonly options: TandemOptions
  #process: ChildProcess
  #output = ''

  private constructor(options: TandemOptions) {
    this.options = options
    this.#process = spawn(process.execPath, ['--import=tsx', COMMAND, 'up'], {
      env: {
        ...process.env,
        TANDEM_UP_HOST: options.host,
        ...(options.databasePort && { TANDEM_UP_DATABASE_PORT: String(options.databasePort) }),
        ...(options.databaseUrl && { TANDEM_DATABASE_URL: options.databaseUrl }),
        TANDEM_UP_DATA_DIR: options.dataDir,
        ...(options.workers && {
          TANDEM_STAGE1_WORKERS: String(options.workers),
          TANDEM_UP_INSIDE_PORTS: INSIDE_PORTS.join(' '),
        }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process.stdout?.on('data', (data) => {
      this.#output += data
    })
    this.#process.stderr?.on('data', (data) => {
      this.#output += data
    })
  }

  /** Starts it and waits until it says that everything is ready. */
  static async start(options: TandemOptions): Promise<Tandem> {
    const tandem = new Tandem(options)
    try {
      await tandem.says(/everything is ready/, READY_MS)
    } catch (error) {
      await tandem.stop()
      throw error
    }
    return tandem
  }

  static async newDataDir(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-system-'))
    // Started by root, PostgreSQL runs as another user, who must be able to pass.
    await chmod(folder, 0o755)
    return folder
  }

  /** All that it has printed. */
  get output(): string {
    return this.#output
  }

  get edges(): { address: string; port: number }[] {
    return [5060, 5062].map((port) => ({ address: this.options.host, port }))
  }

  phone(user: string, more: Partial<PhoneOptions> = {}): Promise<Phone> {
    return Phone.open({
      address: this.options.host,
      user,
      domain: 'example.com',
      password: `${user}-secret`,
      servers: this.edges,
      ...more,
    })
  }

  /** Waits until it has printed that. */
  async says(pattern: RegExp, limitMs = 15_000): Promise<RegExpMatchArray> {
    for (const until = Date.now() + limitMs; Date.now() < until; ) {
      const match = this.#output.match(pattern)
      if (match) return match
      if (this.#process.exitCode !== null) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`it never said ${pattern}:\n${this.#output}`)
  }

  /** Kills one of its processes as it is by now, by node name. */
  async killNode(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(await this.#pidOf(new RegExp(`${name} is (?:ready|back) \\(pid (\\d+)\\)`, 'g')), signal)
  }

  /** Kills a worker of a stage-1 node that has several. */
  async killWorker(node: string, worker: number): Promise<void> {
    const started = await this.#latest(
      new RegExp(`${node} INFO +all workers forward +pids=\\[([^\\]]+)\\]`, 'g'),
    )
    const since = this.#output.slice(started.index)
    const backs = [
      ...since.matchAll(new RegExp(`${node} INFO +worker ${worker} is back \\(pid (\\d+)\\)`, 'g')),
    ]
    const pid = backs.at(-1)?.[1] ?? started[1]?.split(',')[worker]
    process.kill(Number(pid), 'SIGKILL')
  }

  async #pidOf(pattern: RegExp): Promise<number> {
    return Number((await this.#latest(pattern))[1])
  }

  /** The last match of what it says at least once. */
  async #latest(pattern: RegExp): Promise<RegExpMatchArray> {
    const first = await this.says(new RegExp(pattern.source))
    return [...this.#output.matchAll(pattern)].at(-1) ?? first
  }

  /** Asks it to stop as Ctrl-C does; resolves to the milliseconds it took. */
  async stop(): Promise<number> {
    const startedMs = performance.now()
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM')
      await once(this.#process, 'exit')
    }
    return performance.now() - startedMs
  }

  /** Stops it and removes its data. */
  async destroy(): Promise<void> {
    await this.stop()
    // PostgreSQL may take a moment longer than what started it.
    await rm(this.options.dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
  }
}

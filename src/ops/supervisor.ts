import type { Clock, Timer } from './clock.ts'
import { TandemError } from './errors.ts'
import type { Logger } from './logging.ts'
import { asNodeReport, type NodeReport, reportedError } from './node-report.ts'

/*
 * Keeps child processes running. A program is `starting` until it reports, then `running`. When it dies it is
 * `waiting` for its restart, after a back-off that doubles with each death and starts over after a life of some
 * length. `stopping` ends in `stopped`, whichever way the process goes.
 *
 *      start            report 'ready'
 *     ───────► starting ──────────────► running
 *                 ▲  │ exit               │ exit          stop
 *        restart  │  ▼                    ▼            (anywhere) ──► stopping ──exit──► stopped
 *                 └─ waiting ◄────────────┘
 *
 * The first start is different: what fails there is told to the caller and not tried again, because then the
 * cause is nearly always the operator's to remove.
 */

/** What the supervisor needs of a ChildProcess. */
export interface SupervisedProcess {
  readonly pid?: number | undefined
  kill(signal: NodeJS.Signals): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'exit', listener: (code: number | null, signal: NodeJS.Signals | null) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

export interface Program {
  readonly name: string
  spawn(): SupervisedProcess
}

export interface SupervisorOptions {
  readonly clock: Clock
  readonly log: Logger
  /** 0 ≤ n < 1, for the jitter. */
  readonly random?: () => number
  /** Before a restart after a life of some length; then it doubles. 0: the first restart is at once. */
  readonly firstDelayMs?: number
  /** A process that has not reported by then is killed. */
  readonly startLimitMs?: number
}

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 5_000
const STEADY_LIFE_MS = 10_000
const START_LIMIT_MS = 60_000

export class Supervisor {
  readonly #options: Required<SupervisorOptions>
  readonly #children = new Map<string, Child>()

  constructor(options: SupervisorOptions) {
    const defaults = { random: Math.random, startLimitMs: START_LIMIT_MS, firstDelayMs: FIRST_DELAY_MS }
    this.#options = { ...defaults, ...options }
  }

  /** Starts a program and keeps it running. Resolves with its own description once it is ready. */
  start(program: Program): Promise<string> {
    if (this.#children.has(program.name)) throw new Error(`${program.name} is already supervised`)
    const child = new Child(program, this.#options)
    this.#children.set(program.name, child)
    return child.start()
  }

  /** Asks these programs to stop, all at once; what still runs after `limitMs` is killed. */
  async stop(names: readonly string[], limitMs: number): Promise<void> {
    await Promise.all(names.map((name) => this.#children.get(name)?.stop(limitMs)))
  }

  /** No more restarts, and an end to everything without asking. */
  kill(): void {
    for (const child of this.#children.values()) child.kill()
  }

  pidOf(name: string): number | undefined {
    return this.#children.get(name)?.pid
  }
}

class Child {
  readonly #program: Program
  readonly #options: Required<SupervisorOptions>
  #state: 'starting' | 'running' | 'waiting' | 'stopping' | 'stopped' = 'stopped'
  #process: SupervisedProcess | undefined
  #failure: (NodeReport & { type: 'failed' }) | undefined
  #spawnedAtMs = 0
  #delayMs: number
  #timer: Timer | undefined
  #firstStart: { resolve(describe: string): void; reject(error: TandemError): void } | undefined
  #whenStopped: (() => void)[] = []

  constructor(program: Program, options: Required<SupervisorOptions>) {
    this.#program = program
    this.#options = options
    this.#delayMs = options.firstDelayMs
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  start(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#firstStart = { resolve, reject }
      this.#spawn()
    })
  }

  stop(limitMs: number): Promise<void> {
    if (!this.#process) {
      this.#end()
      return Promise.resolve()
    }
    const stopped = new Promise<void>((resolve) => this.#whenStopped.push(resolve))
    if (this.#state !== 'stopping') {
      this.#state = 'stopping'
      this.#process.kill('SIGTERM')
      this.#arm(limitMs, () => {
        this.#options.log.warn({ pid: this.pid }, `${this.#program.name} does not stop: killed`)
        this.#process?.kill('SIGKILL')
      })
    }
    return stopped
  }

  kill(): void {
    if (!this.#process) {
      this.#end()
      return
    }
    this.#state = 'stopping'
    this.#process.kill('SIGKILL')
  }

  #spawn(): void {
    const { clock, startLimitMs } = this.#options
    this.#state = 'starting'
    this.#failure = undefined
    this.#spawnedAtMs = clock.monotonicMs()
    const child = this.#program.spawn()
    this.#process = child
    child.on('message', (message) => this.#reported(asNodeReport(message)))
    child.on('exit', (code, signal) => this.#exited(signal ?? `exit code ${code}`))
    // Without a pid the process never existed, and no 'exit' will follow.
    child.on('error', (error) => child.pid === undefined && this.#exited(error.message))
    this.#arm(startLimitMs, () => child.kill('SIGKILL'))
  }

  #reported(report: NodeReport | undefined): void {
    if (!report || this.#state !== 'starting') return
    if (report.type === 'failed') {
      this.#failure = report // it exits by itself now
      return
    }
    this.#timer?.cancel()
    this.#state = 'running'
    if (this.#firstStart) this.#firstStart.resolve(report.describe)
    else
      this.#options.log.info(
        { pid: this.pid },
        `${this.#program.name} is back (pid ${this.pid}): ${report.describe}`,
      )
    this.#firstStart = undefined
  }

  #exited(how: string): void {
    const pid = this.pid
    this.#process = undefined
    this.#timer?.cancel()
    if (this.#state === 'stopping') this.#end()
    else if (this.#firstStart) this.#failed(how)
    else this.#restartLater(pid, how)
  }

  #failed(how: string): void {
    const { name } = this.#program
    const error = this.#failure
      ? reportedError(name, this.#failure)
      : new TandemError('NODE_FAILED', `${name} ended before it was ready: ${how}`, {
          hint: 'see the lines above',
        })
    this.#firstStart?.reject(error)
    this.#end()
  }

  #restartLater(pid: number | undefined, how: string): void {
    const { clock, log, random, firstDelayMs } = this.#options
    const died = this.#state === 'running' ? 'died' : 'did not start'
    if (clock.monotonicMs() - this.#spawnedAtMs >= STEADY_LIFE_MS) this.#delayMs = firstDelayMs
    // Half of it is jitter, so that programs that died of one cause do not come back in step.
    const delayMs = Math.round(this.#delayMs * (0.5 + random() / 2))
    this.#delayMs = Math.min(Math.max(this.#delayMs * 2, FIRST_DELAY_MS), LONGEST_DELAY_MS)
    this.#state = 'waiting'
    const why = this.#failure ? `${this.#failure.code}: ${this.#failure.message}` : how
    log.warn({ pid }, `${this.#program.name} (pid ${pid}) ${died}: ${why}; restart in ${delayMs} ms`)
    this.#arm(delayMs, () => this.#spawn())
  }

  #arm(delayMs: number, action: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.schedule(delayMs, action)
  }

  #end(): void {
    this.#timer?.cancel()
    this.#state = 'stopped'
    for (const resolve of this.#whenStopped.splice(0)) resolve()
    this.#firstStart?.reject(
      new TandemError('NODE_FAILED', `${this.#program.name} was stopped while it started`),
    )
    this.#firstStart = undefined
  }
}

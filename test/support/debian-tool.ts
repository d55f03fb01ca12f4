import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The Debian package of each program that tests drive. */
const PACKAGES = { sipp: 'sip-tester', sipsak: 'sipsak', baresip: 'baresip-core' } as const

export type Program = keyof typeof PACKAGES

const LIMIT_MS = 10_000

/** For tap's `skip`: false where all of them are installed, else what to install. */
export function needs(...programs: readonly Program[]): string | false {
  const missing = programs.filter((program) => !isInstalled(program))
  if (missing.length === 0) return false
  const packages = missing.map((program) => PACKAGES[program])
  return `needs ${missing.join(', ')}: apt-get install ${packages.join(' ')}`
}

/** One run of such a program. */
export class DebianTool {
  /** Its exit code; -1 if it was killed. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess
  readonly #changes = new EventEmitter()
  #output = ''
  #isOver = false

  private constructor(program: Program, args: readonly string[], namespace?: string) {
    const [command = program, ...words] = namespace
      ? ['ip', 'netns', 'exec', namespace, program, ...args]
      : [program, ...args]
    this.#process = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (data) => {
        this.#output += data
        this.#changes.emit('change')
      })
    }
    this.exited = once(this.#process, 'close').then(([code]) => {
      this.#isOver = true
      this.#changes.emit('change')
      return code ?? -1
    })
  }

  /** `namespace`: of the network that it is to run in. */
  static async start(program: Program, args: readonly string[], namespace?: string): Promise<DebianTool> {
    const tool = new DebianTool(program, args, namespace)
    await once(tool.#process, 'spawn')
    return tool
  }

  /** All that it has printed. */
  get output(): string {
    return this.#output
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Waits until it has printed that. */
  async says(pattern: RegExp): Promise<void> {
    try {
      await until(this.#changes, 'change', () => this.#isOver || pattern.test(this.#output))
    } catch (cause) {
      throw new Error(`it did not say ${pattern}:\n${this.#output}`, { cause })
    }
    if (!pattern.test(this.#output)) throw new Error(`it ended without ${pattern}:\n${this.#output}`)
  }

  /** Asks it to end. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM')
    await this.exited
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.exited
  }
}

/** Resolves once that holds, looked at now and after each of these events. */
export async function until(emitter: EventEmitter, event: string, holds: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(LIMIT_MS)
  while (!holds()) await once(emitter, event, { signal })
}

function isInstalled(program: Program): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

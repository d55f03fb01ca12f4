import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { toText } from '../../db/cluster-snapshot.ts'
import type { MapSnapshot } from '../../db/map-store.ts'
import type { ClusterKeys } from '../../src/ops/cluster-keys.ts'
import type { FromWorker, ToWorker, WorkerConfig } from '../../stage1/worker-messages.ts'

const COMMAND = fileURLToPath(new URL('../../stage1/worker-main.ts', import.meta.url))

export interface WorkerProcessOptions {
  readonly config: WorkerConfig
  readonly map: MapSnapshot
  readonly keys: ClusterKeys
}

/** The real process of a stage-1 worker, told its cluster as its primary would, without a database behind it. */
export class WorkerProcess {
  readonly #process: ChildProcess
  #output = ''

  private constructor(process: ChildProcess) {
    this.#process = process
    const keep = (chunk: Buffer) => {
      this.#output += chunk.toString()
    }
    process.stdout?.on('data', keep)
    process.stderr?.on('data', keep)
  }

  /** Resolves when it forwards. */
  static async start({ config, map, keys }: WorkerProcessOptions): Promise<WorkerProcess> {
    const child = fork(COMMAND, {
      execArgv: ['--import=tsx'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // What a test runner puts there would run in the child too.
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    const worker = new WorkerProcess(child)
    await worker.#hear('listening')
    const text = toText({ snapshot: map, keys, savedAt: Date.now() })
    worker.#tell({ type: 'start', number: 0, config, cluster: { type: 'cluster', text, keepsMap: false } })
    await worker.#hear('ready')
    return worker
  }

  /** All that it has logged, one JSON object a line. */
  get output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Resident memory, in MB. */
  get residentMb(): number {
    const [, kb] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#process.pid}/status`, 'utf8')) ?? []
    return Number(kb) / 1024
  }

  /** Seconds of CPU so far, of which the kernel counts hundredths. */
  get cpuSec(): number {
    const stat = readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  }

  /** Datagrams that the kernel has dropped because the process did not read its UDP sockets fast enough. */
  static droppedAt(address: string): number {
    const hex = address
      .split('.')
      .reverse()
      .map((octet) => Number(octet).toString(16).padStart(2, '0'))
      .join('')
      .toUpperCase()
    const lines = readFileSync('/proc/net/udp', 'utf8')
      .split('\n')
      .filter((line) => line.includes(` ${hex}:`))
    return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/).at(-1)), 0)
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return
    const closed = once(this.#process, 'close')
    this.#tell({ type: 'stop' })
    await closed
  }

  #tell(message: ToWorker): void {
    this.#process.send(message)
  }

  async #hear(type: FromWorker['type']): Promise<void> {
    for (;;) {
      const event = await Promise.race([once(this.#process, 'message'), once(this.#process, 'exit')])
      const message = event[0] as FromWorker | number | null
      if (typeof message !== 'object' || message === null) throw new Error(`it ended:\n${this.#output}`)
      if (message.type === 'failed') throw new Error(message.message)
      if (message.type === type) return
    }
  }
}

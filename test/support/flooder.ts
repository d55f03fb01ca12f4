import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Flood {
  readonly to: { readonly address: string; readonly port: number }
  /** 127.54.0.0 is 54 * 65536. */
  readonly firstSource: number
  readonly sources: number
  readonly perSource: number
  /** Datagrams a second in all; as fast as it can for a great number. */
  readonly ratePerSec: number
  /** In turn. `%source%` is the sender's address and port, `%n%` another text each time. */
  readonly texts: readonly string[]
  /** How long answers are awaited after the last datagram. */
  readonly lingerMs: number
}

export interface FloodReport {
  sent: number
  sources: number
  /** How often which status came back. */
  readonly answers: Readonly<Record<string, number>>
}

/** Somebody with many addresses and no manners. */
export class Flooder {
  readonly #process: ChildProcess

  constructor() {
    this.#process = fork(fileURLToPath(new URL('flooder-main.ts', import.meta.url)), {
      execArgv: ['--import=tsx'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
  }

  async run(flood: Flood): Promise<FloodReport> {
    this.#process.send(flood)
    const [report] = await once(this.#process, 'message')
    return report as FloodReport
  }

  async close(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await ended
  }
}

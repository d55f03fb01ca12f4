import { watch } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DebianTool, until } from './debian-tool.ts'

const SCENARIOS = fileURLToPath(new URL('../fixtures/sipp/', import.meta.url))

export interface SippOptions {
  /** File of test/fixtures/sipp, without `.xml`. */
  readonly scenario: string
  readonly server: { readonly address: string; readonly port: number }
  /** Where it sends from and listens. */
  readonly address: string
  readonly port: number
  /** Made or taken until it ends. */
  readonly calls: number
  /** What `[field0]`, `[field1]` stand for, call by call, over and over. */
  readonly rows?: readonly (readonly string[])[]
  readonly callsPerSec?: number
  /** What `<pause/>` waits. */
  readonly pauseMs?: number
  /** `udp` if left out; over TCP each call has a connection of its own. */
  readonly transport?: 'udp' | 'tcp'
}

export interface SippReport {
  /** 0: every call went as its scenario says. */
  readonly exitCode: number
  readonly successful: number
  readonly failed: number
  readonly retransmissions: number
  /** Messages of no call, and of calls that were over. */
  readonly strayMessages: number
  /** What sipp wrote about calls that went wrong. */
  readonly errors: string
}

/** A row of the `register` scenario. */
export const credentials = (user: string): string[] => [
  user,
  `[authentication username=${user} password=${user}-secret]`,
]

/** One run of sipp. */
export class Sipp {
  readonly #tool: DebianTool
  readonly #folder: string

  private constructor(tool: DebianTool, folder: string) {
    this.#tool = tool
    this.#folder = folder
  }

  /** Starts it and waits until its port is open. */
  static async start(options: SippOptions): Promise<Sipp> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-sipp-'))
    if (options.rows) await writeFile(join(folder, 'rows.csv'), csv(options.rows))
    // It opens its sockets first and the file of its statistics then.
    const watcher = watch(folder)
    let isOpen = false
    watcher.on('change', (_, name) => {
      isOpen ||= name === 'statistics.csv'
    })
    const tool = await DebianTool.start('sipp', argumentsOf(options, folder))
    const run = new Sipp(tool, folder)
    void tool.exited.then(() => watcher.emit('change'))
    try {
      await until(watcher, 'change', () => isOpen || tool.isOver)
      return run
    } catch (cause) {
      await run.close()
      throw new Error(`sipp is not ready:\n${tool.output}`, { cause })
    } finally {
      watcher.close()
    }
  }

  /** Waits for its last call. */
  async report(): Promise<SippReport> {
    const exitCode = await this.#tool.exited
    const statistics = new Map(await this.#statistics())
    const count = (name: string) => Number(statistics.get(`${name}(C)`))
    return {
      exitCode,
      successful: count('SuccessfulCall'),
      failed: count('FailedCall'),
      retransmissions: count('Retransmissions'),
      strayMessages: count('OutOfCallMsgs') + count('DeadCallMsgs'),
      errors: await this.#read('errors.log'),
    }
  }

  async close(): Promise<void> {
    await this.#tool.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** The last line, whose columns the first one names. */
  async #statistics(): Promise<[string, string][]> {
    const lines = (await this.#read('statistics.csv')).trim().split('\n')
    const values = lines.at(-1)?.split(';') ?? []
    return (lines[0] ?? '').split(';').map((name, i) => [name, values[i] ?? ''])
  }

  #read(name: string): Promise<string> {
    return readFile(join(this.#folder, name), 'latin1').catch(() => '')
  }
}

function argumentsOf(options: SippOptions, folder: string): string[] {
  const { server, address, port, calls, rows, callsPerSec = 10, pauseMs = 100, transport } = options
  return [
    ...[`${server.address}:${server.port}`, '-i', address, '-p', String(port), '-nostdin'],
    ...(transport === 'tcp' ? ['-t', 'tn', '-max_socket', '1000'] : []),
    ...['-sf', join(SCENARIOS, `${options.scenario}.xml`), '-m', String(calls)],
    ...['-r', String(callsPerSec), '-d', String(pauseMs)],
    ...(rows ? ['-inf', join(folder, 'rows.csv')] : []),
    ...['-trace_stat', '-stf', join(folder, 'statistics.csv'), '-fd', '1'],
    ...['-trace_err', '-error_file', join(folder, 'errors.log')],
    // It ends by itself even if the test that started it cannot see to it.
    ...['-timeout', '50s', '-timeout_error'],
  ]
}

const csv = (rows: readonly (readonly string[])[]): string =>
  ['SEQUENTIAL', ...rows.map((row) => row.map((field) => `${field};`).join('')), ''].join('\n')

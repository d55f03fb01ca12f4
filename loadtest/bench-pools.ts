import { cpus } from 'node:os'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { ended, Load, median, started } from './bench-processes.ts'
import type { PoolOrder } from './pool-server.ts'
import { processTree, threadsCpuUs } from './process-cpu.ts'
import type { Kind } from './stage1-load.ts'

/**
 * What the ways to spread one node's work over cores cost, on the same code: `npm run bench:pools [-- --json] [--runs N] [--size N]`. A
 * transaction is a request from a client to stage 2 and the response back.
 *
 * Two figures of CPU time: of all threads together for each transaction, and of the busiest thread, which bounds what any number
 * of cores can do. From them: transactions a second with as many cores for the server as it has threads of work. The rate seen is
 * beside it; the load takes cores of the same machine from it.
 */

const HOST = '127.0.52'
const KINDS: readonly Kind[] = ['register', 'invite']
const TRANSACTIONS = 30_000
const at = (host: number, port: number): Endpoint => ({ transport: 'udp', address: `${HOST}.${host}`, port })
const RESPONDER = at(32, 5073)
const ECHO = at(32, 5074)

type Choice = Pick<PoolOrder, 'architecture' | 'udp' | 'size'> & { readonly name: string }

const choices = (size: number): Choice[] => [
  { name: 'one event loop, dgram', architecture: 'loop', udp: 'dgram', size: 1 },
  { name: `${size} processes on a shared socket, dgram`, architecture: 'pool', udp: 'dgram', size },
  { name: 'one event loop, batched', architecture: 'loop', udp: 'batched', size: 1 },
  { name: `${size} processes by SO_REUSEPORT, batched`, architecture: 'pool', udp: 'batched', size },
  { name: `receiver and ${size} threads, dgram`, architecture: 'threads', udp: 'dgram', size },
  { name: `receiver and ${size} threads, batched`, architecture: 'threads', udp: 'batched', size },
]

interface Row {
  readonly server: string
  readonly cpuUs: number
  readonly busiestUs: number
  readonly threads: number
  /** By CPU time: with a core for each of its threads of work. */
  readonly transactionsPerSec: number
  readonly seenPerSec: number
  readonly lost: number
}

interface Server {
  readonly choice: Choice
  readonly outside: Endpoint
  readonly pid: number
  stop(): Promise<void>
}

interface Run {
  readonly cpuUs: number
  readonly busiestUs: number
  readonly elapsedMs: number
  readonly lost: number
}

async function start(choice: Choice, host: number): Promise<Server> {
  const { architecture, udp, size } = choice
  const [outside, inside] = [at(host, 5060), at(host, 5160)]
  const order: PoolOrder = { architecture, udp, size, outside, inside, member: RESPONDER }
  const child = await started('pool-server', order)
  return { choice, outside, pid: child.pid ?? 0, stop: () => ended(child) }
}

async function flood(load: Load, { outside, pid }: Server, kind: Kind): Promise<Run> {
  const pids = processTree(pid)
  const before = threadsCpuUs(pids)
  const order = { type: 'flood', server: outside, kind, transactions: TRANSACTIONS } as const
  const { elapsedMs, lost } = await load.run(order)
  const used = [...threadsCpuUs(pids)].map(([thread, us]) => us - (before.get(thread) ?? 0))
  const cpuUs = used.reduce((sum, us) => sum + us, 0) / TRANSACTIONS
  return { cpuUs, busiestUs: Math.max(...used) / TRANSACTIONS, elapsedMs, lost }
}

function rowOf({ choice }: Server, runs: readonly Run[]): Row {
  const of = (figure: (run: Run) => number) => median(runs.map(figure))
  const [cpuUs, busiestUs] = [of((run) => run.cpuUs), of((run) => run.busiestUs)]
  const threads = choice.architecture === 'threads' ? choice.size + 1 : choice.size
  return {
    server: choice.name,
    cpuUs,
    busiestUs,
    threads,
    // The kernel spreads clients by their address, so processes are alike when there are many; a receiver stays one thread.
    transactionsPerSec: Math.round(
      choice.architecture === 'threads' ? 1e6 / busiestUs : (threads * 1e6) / cpuUs,
    ),
    seenPerSec: Math.round(TRANSACTIONS / (of((run) => run.elapsedMs) / 1000)),
    lost: runs.reduce((sum, run) => sum + run.lost, 0),
  }
}

function print(rows: readonly Row[]): void {
  const titles = ['CPU µs', 'busiest µs', 'threads', 'tx/s by CPU', 'tx/s seen', 'lost']
  console.log(`${'server'.padEnd(40)}${titles.map((title) => title.padStart(13)).join('')}`)
  for (const { server, cpuUs, busiestUs, threads, transactionsPerSec, seenPerSec, lost } of rows) {
    const cells = [cpuUs.toFixed(1), busiestUs.toFixed(1), threads, transactionsPerSec, seenPerSec, lost]
    console.log(`${server.padEnd(40)}${cells.map((cell) => String(cell).padStart(13)).join('')}`)
  }
}

async function main(args: readonly string[]): Promise<void> {
  const option = (name: string, fallback: number) =>
    args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback
  const [runs, size] = [option('--runs', 5), option('--size', 2)]
  const load = await Load.start({ clients: `${HOST}.33`, responder: RESPONDER, echo: ECHO })
  const servers: Server[] = []
  try {
    for (const [i, choice] of choices(size).entries()) servers.push(await start(choice, 61 + i))
    const figures = servers.map((): Run[] => [])
    for (const server of servers) for (const kind of KINDS) await flood(load, server, kind)
    for (let run = 0; run < runs; run++)
      for (const [i, server] of servers.entries())
        for (const kind of KINDS) figures[i]?.push(await flood(load, server, kind))
    const rows = servers.map((server, i) => rowOf(server, figures[i] ?? []))
    console.log(
      `Node ${process.version}, ${cpus().length} cores of ${cpus()[0]?.model ?? 'unknown CPU'}; median of ${runs} runs\n`,
    )
    print(rows)
    if (args.includes('--json')) {
      const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
      console.log(JSON.stringify({ machine, runs, size, rows }))
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
    await load.stop()
  }
}

await main(process.argv.slice(2))

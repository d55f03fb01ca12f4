import { cpus } from 'node:os'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { ended, Load, median, quantile, started } from './bench-processes.ts'
import { Kamailio, kamailioVersion } from './kamailio.ts'
import { cpuUs, processTree } from './process-cpu.ts'
import type { Kind } from './stage1-load.ts'
import type { ServerOrder } from './stage1-server.ts'

/**
 * What one stage-1 worker costs: `npm run bench:stage1 [-- --json] [--runs N]`. CPU time of the server's own processes per transaction: a
 * request from a client to stage 2 and the response back, with all checks on. Beside it, in the same run: bare relays on the same
 * two kinds of UDP transport, and Kamailio as a stateless dispatcher with one child.
 *
 * The servers take turns, and the median of the runs counts. The load comes from a process of its own, is not counted, and keeps
 * so many transactions open that the server always has something to do.
 */

const HOST = '127.0.52'
const KINDS: readonly Kind[] = ['register', 'invite']
const RATE = 1000
const PACE_SEC = 5
const WARM_UP = 30_000

const at = (host: number, port: number): Endpoint => ({ transport: 'udp', address: `${HOST}.${host}`, port })

const RESPONDER = at(32, 5071)
const ECHO = at(32, 5072)

interface Server {
  readonly name: string
  readonly outside: Endpoint
  /** Transactions of one run. */
  readonly transactions: number
  readonly pids: () => readonly number[]
  readonly stop: () => Promise<void>
}

interface Row {
  readonly server: string
  readonly registerUs: number
  readonly inviteUs: number
  /** Mean of the two. */
  readonly meanUs: number
  /** With the core to itself: from the CPU time. */
  readonly transactionsPerSec: number
  readonly lost: number
}

async function nodeServer(
  name: string,
  host: number,
  order: Pick<ServerOrder, 'role' | 'udp'>,
): Promise<Server> {
  const outside = at(host, 5060)
  const member = order.role === 'worker' ? RESPONDER : ECHO
  const child = await started('stage1-server', { ...order, outside, inside: at(host, 5160), member })
  return {
    name,
    outside,
    transactions: order.udp === 'batched' ? 80_000 : 30_000,
    pids: () => processTree(child.pid ?? 0),
    stop: () => ended(child),
  }
}

async function kamailioServer(version: string): Promise<Server> {
  const outside = at(19, 5060)
  const kamailio = await Kamailio.start(outside, RESPONDER)
  return {
    name: `kamailio ${version}`,
    outside,
    transactions: 20_000,
    pids: () => kamailio.pids,
    stop: () => kamailio.stop(),
  }
}

async function flood(load: Load, server: Server, kind: Kind, transactions: number) {
  const pids = server.pids()
  const before = cpuUs(pids)
  const result = await load.run({ type: 'flood', server: server.outside, kind, transactions })
  return { us: (cpuUs(pids) - before) / transactions, lost: result.lost }
}

async function cost(load: Load, servers: readonly Server[], runs: number): Promise<Row[]> {
  const figures = servers.map(() => ({ register: [] as number[], invite: [] as number[], lost: 0 }))
  for (const server of servers) for (const kind of KINDS) await flood(load, server, kind, WARM_UP)
  for (let run = 0; run < runs; run++) {
    for (const [i, server] of servers.entries()) {
      for (const kind of KINDS) {
        const { us, lost } = await flood(load, server, kind, server.transactions)
        const figure = figures[i] as (typeof figures)[number]
        figure[kind].push(us)
        figure.lost += lost
      }
    }
  }
  return servers.map(({ name }, i) => {
    const { register, invite, lost } = figures[i] as (typeof figures)[number]
    const [registerUs, inviteUs] = [median(register), median(invite)]
    const meanUs = (registerUs + inviteUs) / 2
    return { server: name, registerUs, inviteUs, meanUs, transactionsPerSec: Math.round(1e6 / meanUs), lost }
  })
}

interface Delay {
  readonly server: string
  readonly p50Us: number
  readonly p99Us: number
  readonly lost: number
}

/** Delay that a server adds: the same load straight to the responder is taken off, quantile by quantile. */
async function delays(load: Load, servers: readonly Server[]): Promise<Delay[]> {
  const through = async (server: Endpoint) => {
    return load.run({ type: 'pace', server, rate: RATE, seconds: PACE_SEC })
  }
  await through(ECHO)
  const direct = await through(ECHO)
  const rows: Delay[] = []
  for (const { name, outside } of servers) {
    const { delaysUs, lost } = await through(outside)
    const added = (q: number) => quantile(delaysUs, q) - quantile(direct.delaysUs, q)
    rows.push({ server: name, p50Us: added(0.5), p99Us: added(0.99), lost })
  }
  return rows
}

function print(rows: readonly Row[], delayRows: readonly Delay[], reference: Row | undefined): void {
  const cell = (value: number, digits = 1) => value.toFixed(digits).padStart(12)
  console.log(
    `${'server'.padEnd(24)}${['REGISTER µs', 'INVITE µs', 'mean µs', '/s per core', 'of Kamailio', 'lost'].map((title) => title.padStart(12)).join('')}`,
  )
  for (const row of rows) {
    const ratio = reference ? cell(row.meanUs / reference.meanUs, 2) : '–'.padStart(12)
    console.log(
      `${row.server.padEnd(24)}${cell(row.registerUs)}${cell(row.inviteUs)}${cell(row.meanUs)}${cell(row.transactionsPerSec, 0)}${ratio}${cell(row.lost, 0)}`,
    )
  }
  console.log(`\nAdded delay at ${RATE} requests/s, without the way from client to stage 2 itself`)
  console.log(
    `${'server'.padEnd(24)}${['p50 µs', 'p99 µs', 'lost'].map((title) => title.padStart(12)).join('')}`,
  )
  for (const { server, p50Us, p99Us, lost } of delayRows)
    console.log(`${server.padEnd(24)}${cell(p50Us, 0)}${cell(p99Us, 0)}${cell(lost, 0)}`)
}

async function main(args: readonly string[]): Promise<void> {
  const option = (name: string, fallback: number) =>
    args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback
  const runs = option('--runs', 7)
  const version = kamailioVersion()
  const load = await Load.start({ clients: `${HOST}.31`, responder: RESPONDER, echo: ECHO })
  const servers = [
    await nodeServer('relay, dgram', 11, { role: 'relay', udp: 'dgram' }),
    await nodeServer('relay, batched', 12, { role: 'relay', udp: 'batched' }),
    await nodeServer('stage 1, dgram', 13, { role: 'worker', udp: 'dgram' }),
    await nodeServer('stage 1, batched', 14, { role: 'worker', udp: 'batched' }),
    ...(version === undefined ? [] : [await kamailioServer(version)]),
  ]
  try {
    console.log(
      `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}; CPU per transaction, median of ${runs} runs`,
    )
    if (version === undefined)
      console.log('Without Kamailio: install Debian package `kamailio` for the comparison.')
    console.log()
    const rows = await cost(load, servers, runs)
    const delayRows = await delays(load, servers)
    const byName = (name: string) => rows.find(({ server }) => server.startsWith(name))
    const kamailio = byName('kamailio')
    print(rows, delayRows, kamailio)
    const ratio = (a: string, b: string) => {
      const [over, under] = [byName(a)?.meanUs, byName(b)?.meanUs]
      return over !== undefined && under !== undefined ? Number((over / under).toFixed(3)) : null
    }
    const ratios = {
      dgramOfKamailio: ratio('stage 1, dgram', 'kamailio'),
      batchedOfKamailio: ratio('stage 1, batched', 'kamailio'),
      dgramOfRelay: ratio('stage 1, dgram', 'relay, dgram'),
      batchedOfRelay: ratio('stage 1, batched', 'relay, batched'),
    }
    console.log(
      `\nStage 1 over batched UDP: ${ratios.batchedOfRelay} of a bare relay, ${ratios.batchedOfKamailio ?? '–'} of Kamailio (at most 2 and 0.30 wanted); over dgram: ${ratios.dgramOfKamailio ?? '–'} of Kamailio (at most 0.65)`,
    )
    if (args.includes('--json')) {
      const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
      console.log(JSON.stringify({ machine, runs, rows, ratios, delays: delayRows }))
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
    await load.stop()
  }
}

await main(process.argv.slice(2))

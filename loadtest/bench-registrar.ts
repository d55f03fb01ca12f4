import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../db/embedded.ts'
import { migrate } from '../db/migrate.ts'
import { KAMAILIO_PACKAGES, kamailioRegistrar, kamailioTables } from './kamailio-registrar.ts'
import { cpuUs, processTree } from './process-cpu.ts'
import type { LoadOrder, LoadResult } from './register-load.ts'

/**
 * What a registration with digest costs, and how many a second one core takes: `npm run bench:registrar [-- --json]`.
 * One member of Tandem, `durability` async and commit, against Debian's Kamailio with `db_mode` 2 (written later) and 1
 * (written before the answer), all on the same PostgreSQL (fsync on), in turn, the median of several rounds. The server
 * has the last core to itself; load and PostgreSQL share the others.
 */

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    users: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
  },
})
const USERS = Number(options.users)
const SECONDS = Number(options.seconds)
const ROUNDS = Number(options.rounds)
const DOMAIN = 'example.com'
/** The load speaks from the member's own address, which the member therefore trusts. */
const HOST = '127.0.62.1'
const PORT = 5071
const DATABASE_PORT = 15_690
const SERVER_CORE = availableParallelism() - 1
const OTHER_CORES = SERVER_CORE > 0 ? `0-${SERVER_CORE - 1}` : '0'
const READY_MS = 30_000
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

type Database = Embedded & { readonly kamailioUrl: string }

interface Contender {
  readonly name: string
  start(database: Database, folder: string): Promise<ChildProcess>
}

interface Figures {
  readonly rate: number
  /** CPU of the server, and of PostgreSQL, for each registration. */
  readonly serverUs: number
  readonly databaseUs: number
  readonly p99Ms: number
  readonly failed: number
  readonly loadBusy: number
}

const tandem = (durability: 'async' | 'commit'): Contender => ({
  name: `tandem ${durability}`,
  start: async ({ url }, folder) => {
    const command = fileURLToPath(new URL('../scripts/tandem.ts', import.meta.url))
    return server(['node', '--import=tsx', command, 'stage2'], /ready:/, {
      TANDEM_NODE: 'm1',
      TANDEM_DATABASE_URL: url,
      TANDEM_STATE_DIR: join(folder, 'state'),
      TANDEM_STAGE2_LISTEN: `${HOST}:${PORT}`,
      TANDEM_STAGE2_DURABILITY: durability,
    })
  },
})

const kamailio = (dbMode: 1 | 2, children: number): Contender => ({
  name: `kamailio db_mode=${dbMode}`,
  start: async ({ kamailioUrl }, folder) => {
    const file = join(folder, 'kamailio.cfg')
    await writeFile(
      file,
      kamailioRegistrar({ address: HOST, port: PORT, databaseUrl: kamailioUrl, dbMode, children }),
    )
    const child = await server(['kamailio', '-DD', '-E', '-m', '512', '-f', file, '-Y', folder])
    // It says nothing when it is ready; reading its users takes a moment.
    await pause(2_000)
    return child
  },
})

/** With write-through each of its processes waits for a commit, so it gets several. */
const CONTENDERS: readonly Contender[] = [
  tandem('async'),
  ...(hasKamailio() ? [kamailio(2, 1)] : []),
  tandem('commit'),
  ...(hasKamailio() ? [kamailio(1, 8)] : []),
]

function hasKamailio(): boolean {
  try {
    accessSync('/usr/sbin/kamailio')
    kamailioTables()
    return true
  } catch {
    return false
  }
}

async function server(command: string[], ready?: RegExp, env: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const child = spawn('taskset', ['-c', String(SERVER_CORE), ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data))
  const giveUpMs = performance.now() + READY_MS
  while (ready && !ready.test(output)) {
    if (child.exitCode !== null || performance.now() > giveUpMs) throw new Error(`not ready:\n${output}`)
    await pause(50)
  }
  return child
}

async function prepare(folder: string): Promise<Database> {
  const database = await startEmbedded({ dataDir: join(folder, 'data'), port: DATABASE_PORT })
  await migrate(database.url, silent)
  const users = `select 'u' || lpad(i::text, 7, '0') as name from generate_series(0, ${USERS - 1}) as i`
  const ha1 = `md5(name || ':${DOMAIN}:' || name || '-secret')`
  await sql(
    database.url,
    `begin;
     insert into tandem.domain (name) values ('${DOMAIN}');
     insert into tandem.subscriber (domain, username, ha1_md5) select '${DOMAIN}', name, ${ha1} from (${users}) as u;
     insert into tandem.sip_group (name) values ('a');
     insert into tandem.member (node, group_name, role, sip_address) values ('m1', 'a', 'master', '${HOST}:${PORT}');
     insert into tandem.slot_range (first, last, group_name) values (0, 16383, 'a');
     commit`,
  )
  const kamailioUrl = database.url.replace(/[^/]+$/, 'kamailio')
  await sql(database.url, 'create database kamailio template template0')
  if (hasKamailio()) {
    await sql(kamailioUrl, kamailioTables())
    await sql(
      kamailioUrl,
      `insert into htable (key_name, key_type, value_type, key_value, expires)
       select name, 0, 0, ${ha1}, 0 from (${users}) as u`,
    )
  }
  await sql(database.url, 'vacuum analyze')
  return { ...database, kamailioUrl }
}

async function measure(
  contender: Contender,
  database: Database,
  folder: string,
  rate?: number,
): Promise<Figures> {
  const child = await contender.start(database, folder)
  const load = fork(fileURLToPath(new URL('./register-load.ts', import.meta.url)), {
    execArgv: ['--import=tsx'],
  })
  const order: LoadOrder = {
    users: USERS,
    from: HOST,
    to: { address: HOST, port: PORT },
    domain: DOMAIN,
    seconds: SECONDS,
    window: 400,
    ...(rate !== undefined && { rate }),
  }
  try {
    // Challenges every user, inserts the rows, and warms up what compiles itself.
    await answer(load, { ...order, seconds: Math.max(3, SECONDS / 3) })
    const cpu = () => [child.pid, database.pid].map((pid) => cpuUs(processTree(pid ?? 0)))
    const before = cpu()
    const result = await answer(load, order)
    const after = cpu()
    const [serverUs = 0, databaseUs = 0] = after.map((us, i) => (us - (before[i] ?? 0)) / result.registered)
    return {
      rate: result.registered / result.seconds,
      serverUs,
      databaseUs,
      p99Ms: result.p99Ms,
      failed: result.failed,
      loadBusy: result.busy,
    }
  } finally {
    load.disconnect()
    child.kill()
    await once(child, 'exit')
  }
}

async function answer(load: ChildProcess, order: LoadOrder): Promise<LoadResult> {
  load.send(order)
  const [result] = await once(load, 'message')
  return result as LoadResult
}

async function sql(url: string, text: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(text)
  await client.end()
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN

function medians(rounds: readonly Figures[]): Figures {
  const of = (key: keyof Figures) => median(rounds.map((figures) => figures[key]))
  return {
    rate: of('rate'),
    serverUs: of('serverUs'),
    databaseUs: of('databaseUs'),
    p99Ms: of('p99Ms'),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    loadBusy: of('loadBusy'),
  }
}

function row(name: string, { rate, serverUs, databaseUs, p99Ms, failed, loadBusy }: Figures): string {
  const cells = [rate.toFixed(0), serverUs.toFixed(1), databaseUs.toFixed(1), p99Ms.toFixed(1), `${failed}`]
  return (
    name.padEnd(26) + [...cells, `${(loadBusy * 100).toFixed(0)} %`].map((cell) => cell.padStart(12)).join('')
  )
}

async function main(): Promise<void> {
  if (!hasKamailio()) console.log(`without Kamailio: apt-get install ${KAMAILIO_PACKAGES}\n`)
  const folder = await mkdtemp(join(tmpdir(), 'tandem-bench-'))
  // Started by root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o755)
  const database = await prepare(folder)
  try {
    spawn('taskset', ['-apc', OTHER_CORES, String(database.pid)], { stdio: 'ignore' })
    console.log(
      `Node ${process.version}, ${cpus()[0]?.model}; ${USERS} users, ${SECONDS} s a run, median of ${ROUNDS} rounds\n`,
    )
    const head = ['REGISTER/s', 'server µs', 'database µs', 'p99 ms', 'failed', 'load busy']
    console.log(''.padEnd(26) + head.map((cell) => cell.padStart(12)).join(''))
    const rounds = new Map(CONTENDERS.map(({ name }) => [name, [] as Figures[]]))
    for (let round = 0; round < ROUNDS; round++) {
      for (const contender of CONTENDERS)
        rounds.get(contender.name)?.push(await measure(contender, database, folder))
    }
    const results = new Map([...rounds].map(([name, figures]) => [name, medians(figures)]))
    for (const [name, figures] of results) console.log(row(name, figures))
    const half = Math.round((results.get('tandem commit')?.rate ?? 0) / 2)
    const atHalf = await measure(tandem('commit'), database, folder, half)
    console.log(row(`tandem commit, ${half}/s`, atHalf))
    const of = (name: string) => results.get(name)
    const ratios = {
      asyncCpuToDbMode2:
        (of('tandem async')?.serverUs ?? 0) / (of('kamailio db_mode=2')?.serverUs ?? Number.NaN),
      commitRateToDbMode1: (of('tandem commit')?.rate ?? 0) / (of('kamailio db_mode=1')?.rate ?? Number.NaN),
    }
    console.log(`\nCPU of async to that of db_mode=2: ${ratios.asyncCpuToDbMode2.toFixed(2)}`)
    console.log(`rate of commit to that of db_mode=1: ${ratios.commitRateToDbMode1.toFixed(1)}`)
    if (options.json)
      console.log(
        JSON.stringify({ node: process.version, results: Object.fromEntries(results), atHalf, ratios }),
      )
  } finally {
    await database.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
  }
}

await main()

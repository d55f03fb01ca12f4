import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { Database } from '../db/database.ts'
import { startEmbedded } from '../db/embedded.ts'
import type { Slots } from '../db/slot-ranges.ts'
import { bareCopy } from './bare-copy.ts'
import type { Loaded, MemberOrder, Refreshed, Used } from './location-member.ts'
import { aorOf, fill } from './location-rows.ts'
import { cpuUs } from './process-cpu.ts'

/**
 * What bindings and subscribers cost in a member's memory: `npm run bench:location [-- --bindings 1000000 --members 1 --json]`.
 * Each member is a process with an equal range of the slots, and all their rows come from one PostgreSQL, whose pages are in memory.
 *
 * - Memory: growth of the process, without any garbage collection asked for.
 * - Cold load: against the bare `COPY … TO STDOUT` of the same rows by a client that throws them away, median of three.
 * - Look-ups and updates: CPU time of this thread and its garbage collector, each of another random user; an update is put and settle.
 * - Refresh: CPU of the members, and of PostgreSQL for them, while that many rows a second are changed by somebody else.
 * - Stops: the longest time for which the event loop did not turn, by `monitorEventLoopDelay` and counting CPU time only:
 *   on a machine that does other things the former is theirs too.
 */

const { values: options } = parseArgs({
  options: {
    bindings: { type: 'string', default: '1000000' },
    members: { type: 'string', default: '1' },
    changes: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    /** Of the PostgreSQL that it starts. */
    port: { type: 'string', default: '15655' },
    json: { type: 'boolean', default: false },
  },
})
const BINDINGS = Number(options.bindings)
const MEMBERS = Number(options.members)
const CHANGES = Number(options.changes)
const SECONDS = Number(options.seconds)
const DATABASE_PORT = Number(options.port)
const SLOTS = 16_384
const BATCH = 250
const COPY_RUNS = 3
/** Until a refresh is what every other one is; the members wait as long. */
const WARM_UP_MS = 3000

interface Row {
  readonly loaded: Loaded
  readonly used: Used
  readonly textMs: number
  readonly binaryMs: number
}

const slotsOf = (member: number): Slots => ({
  first: Math.floor((member * SLOTS) / MEMBERS),
  last: Math.floor(((member + 1) * SLOTS) / MEMBERS) - 1,
})

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN

function startMember(): ChildProcess {
  return fork(fileURLToPath(new URL('./location-member.ts', import.meta.url)), { execArgv: ['--import=tsx'] })
}

async function ask<Answer>(member: ChildProcess, order: MemberOrder): Promise<Answer> {
  member.send(order)
  const [answer] = await Promise.race([
    once(member, 'message'),
    once(member, 'exit').then(() => Promise.reject(new Error('a member has ended'))),
  ])
  return answer as Answer
}

async function copyMs(url: string, { first, last }: Slots, format: 'text' | 'binary'): Promise<number> {
  const select = `select * from tandem.binding where slot between ${first} and ${last}`
  const runs: number[] = []
  while (runs.length < COPY_RUNS) runs.push(await bareCopy(url, select, format))
  return median(runs)
}

async function measure(url: string, member: ChildProcess, slots: Slots): Promise<Row> {
  const textMs = await copyMs(url, slots, 'text')
  const binaryMs = await copyMs(url, slots, 'binary')
  const loaded = await ask<Loaded>(member, { type: 'load', url, slots })
  const used = await ask<Used>(member, { type: 'use', users: BINDINGS, rounds: Math.min(BINDINGS, 300_000) })
  return { loaded, used, textMs, binaryMs }
}

/** As another member writes: one change number for a batch. */
const CHANGE = {
  name: 'change',
  text: `with number as (select tandem.next_rev() as rev)
    update tandem.binding as b set cseq = b.cseq + 1, changed_at = now(), rev = number.rev
    from unnest($1::int[], $2::text[]) as u (slot, aor), number where b.slot = u.slot and b.aor = u.aor`,
}

/** Changes random rows, so many a second, until it is told to stop. @returns how many a second it were */
async function change(db: Database, isOver: () => boolean): Promise<number> {
  let written = 0
  const startedMs = performance.now()
  while (!isOver()) {
    const users = Array.from({ length: BATCH }, () => Math.floor(Math.random() * BINDINGS))
    const slots = await db.query<{ slot: number }>(
      'select hashint4(i) & 16383 as slot from unnest($1::int[]) as i',
      [users],
    )
    await db.query(CHANGE, [slots.map(({ slot }) => slot), users.map(aorOf)])
    written += BATCH
    const dueMs = startedMs + (written * 1000) / CHANGES
    await pause(Math.max(0, dueMs - performance.now()))
  }
  return written / ((performance.now() - startedMs) / 1000)
}

interface RefreshCost {
  readonly changes: number
  readonly members: readonly Refreshed[]
  /** Of one core, all members together. */
  readonly databaseCpu: number
}

async function refreshCost(
  url: string,
  members: readonly ChildProcess[],
  isChanging: boolean,
): Promise<RefreshCost> {
  const db = await Database.open({ url, node: 'bench-writer', poolSize: 8 }, pino({ level: 'silent' }))
  let isOver = false
  const changing = isChanging ? change(db, () => isOver) : Promise.resolve(0)
  const answers = Promise.all(
    members.map((member) => ask<Refreshed>(member, { type: 'refresh', seconds: SECONDS })),
  )
  await pause(WARM_UP_MS)
  const readers = await db.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name ~ '^tandem/bench-[0-9]'`,
  )
  const pids = readers.map(({ pid }) => pid)
  const before = cpuUs(pids)
  const startedMs = performance.now()
  await pause((SECONDS - 1) * 1000)
  const databaseCpu = (cpuUs(pids) - before) / 1000 / (performance.now() - startedMs)
  const refreshed = await answers
  isOver = true
  const changes = await changing
  await db.close()
  return { changes, members: refreshed, databaseCpu }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

function line(name: string, { loaded, used, textMs, binaryMs }: Row): string {
  const { bindings, subscribers, stops } = loaded
  const cells = [
    bindings.toLocaleString('en'),
    (loaded.bindingsRss / bindings).toFixed(0),
    (loaded.subscribersRss / subscribers).toFixed(0),
    (loaded.bindingsMs / 1000).toFixed(2),
    (textMs / 1000).toFixed(2),
    (loaded.bindingsMs / textMs).toFixed(2),
    (loaded.bindingsMs / binaryMs).toFixed(2),
    (loaded.subscribersMs / 1000).toFixed(2),
    `${stops.ownMs.toFixed(1)}/${stops.longestMs.toFixed(1)}`,
    used.lookupUs.toFixed(2),
    used.updateUs.toFixed(2),
  ]
  return name.padEnd(8) + cells.map((cell) => cell.padStart(12)).join('')
}

const HEAD = [
  'bindings',
  'B/binding',
  'B/user',
  'load s',
  'COPY s',
  'load/COPY',
  '…/binary',
  'users s',
  'stop ms',
  'look-up µs',
  'update µs',
]

function total(rows: readonly Row[]): string {
  const bindings = sum(rows.map(({ loaded }) => loaded.bindings))
  const bytes = sum(rows.map(({ loaded }) => loaded.bindingsRss))
  const users = sum(rows.map(({ loaded }) => loaded.subscribersRss))
  const count = sum(rows.map(({ loaded }) => loaded.subscribers))
  return (
    `\nall: ${bindings.toLocaleString('en')} bindings, ${(bytes / bindings).toFixed(0)} bytes for each, ` +
    `${(users / count).toFixed(0)} for each user, ${((bytes + users) / 1e9).toFixed(2)} GB together; ` +
    `longest stop ${Math.max(...rows.map(({ loaded }) => loaded.stops.ownMs)).toFixed(1)} ms, ` +
    `of an update ${Math.max(...rows.map(({ used }) => used.longestMs)).toFixed(1)} ms, ` +
    `of a sweep ${median(rows.map(({ used }) => used.sweepMs)).toFixed(2)} ms`
  )
}

function refreshLine({ changes, members, databaseCpu }: RefreshCost): string {
  const own = Math.max(...members.map(({ stops }) => stops.ownMs))
  const longest = Math.max(...members.map(({ stops }) => stops.longestMs))
  const cpu = sum(members.map(({ cpu }) => cpu))
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`
  return (
    `refresh, ${changes.toFixed(0)} changes/s: ${percent(cpu)} of a core in the members together, ` +
    `${percent(databaseCpu)} in PostgreSQL for them; longest stop ${own.toFixed(1)}/${longest.toFixed(1)} ms`
  )
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-bench-'))
  // Started by root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o755)
  // So that rows are quickly made; what is measured reads.
  const postgresFlags = [
    'max_wal_size=16GB',
    'wal_level=minimal',
    'max_wal_senders=0',
    'fsync=off',
    'autovacuum=off',
  ]
  const database = await startEmbedded({
    dataDir: join(folder, 'data'),
    port: DATABASE_PORT,
    postgresFlags: postgresFlags.flatMap((flag) => ['-c', flag]),
  })
  const members: ChildProcess[] = []
  try {
    const startedMs = performance.now()
    await fill(database.url, BINDINGS, (rows) =>
      process.stderr.write(
        `\r${rows.toLocaleString('en')} rows, ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
      ),
    )
    console.log(`\nNode ${process.version}, ${cpus()[0]?.model}; stops: own/by the clock\n`)
    console.log(''.padEnd(8) + HEAD.map((cell) => cell.padStart(12)).join(''))
    const rows: Row[] = []
    for (let i = 0; i < MEMBERS; i++) {
      const member = startMember()
      members.push(member)
      const row = await measure(database.url, member, slotsOf(i))
      rows.push(row)
      console.log(line(`m${i + 1}`, row))
    }
    console.log(total(rows))
    const idle = await refreshCost(database.url, members, false)
    console.log(refreshLine(idle))
    const busy = await refreshCost(database.url, members, true)
    console.log(refreshLine(busy))
    if (options.json)
      console.log(JSON.stringify({ node: process.version, cpu: cpus()[0]?.model, rows, idle, busy }))
  } finally {
    for (const member of members) member.disconnect()
    await database.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
  }
}

await main()

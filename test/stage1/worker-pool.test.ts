import { EventEmitter } from 'node:events'
import t from 'tap'
import { type ClusterSnapshot, clusterOf, fromText } from '../../db/cluster-snapshot.ts'
import type { MapSnapshot } from '../../db/map-store.ts'
import { loadConfig } from '../../src/ops/config.ts'
import { createLogger } from '../../src/ops/logging.ts'
import type { Cluster } from '../../src/partition/cluster.ts'
import type { MemberNews, ToWorker } from '../../stage1/worker-messages.ts'
import { WorkerPool } from '../../stage1/worker-pool.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { KEYS, MEMBERS } from './fixture.ts'

/** A worker process that says what the test has it say. */
class FakeWorker extends EventEmitter {
  readonly sent: ToWorker[] = []
  readonly signals: string[] = []
  readonly pid: number

  constructor(pid: number) {
    super()
    this.pid = pid
  }

  send(message: ToWorker): void {
    this.sent.push(message)
  }

  kill(signal: NodeJS.Signals): boolean {
    this.signals.push(signal)
    return this.emit('exit', null, signal)
  }

  says(message: object): void {
    this.emit('message', message)
  }

  starts(): void {
    this.says({ type: 'listening' })
    this.says({ type: 'ready', describe: 'here' })
  }
}

const ROWS: MapSnapshot = {
  version: 7,
  domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user', callerAuth: true }],
  groups: ['a', 'b'].map((name) => ({ name, state: 'active', databaseUrls: null })),
  members: MEMBERS,
  ranges: [{ first: 0, last: 16_383, group: 'a' }],
  pins: [{ kind: 'user', value: 'bob', group: 'b' }],
  nodes: [],
  nodesRev: 1,
  silent: [],
}

function pooled(workers = 2) {
  const clock = new FakeClock()
  const lines: string[] = []
  const log = createLogger(
    { level: 'info', format: 'json' },
    { node: 's1', to: { write: (line) => void lines.push(JSON.parse(line).msg) } },
  )
  const at = (rows: MapSnapshot, before?: Cluster) => {
    const snapshot: ClusterSnapshot = { snapshot: rows, keys: KEYS, savedAt: 0 }
    return { snapshot, cluster: clusterOf(snapshot, before?.map) }
  }
  let current = at(ROWS)
  const forked: FakeWorker[] = []
  const news: MemberNews[] = []
  const pool = new WorkerPool({
    config: loadConfig({ env: { TANDEM_STAGE1_WORKERS: String(workers) } }),
    clock,
    log,
    current: () => current,
    onMember: (each) => news.push(each),
    fork: () => {
      const worker = new FakeWorker(100 + forked.length)
      forked.push(worker)
      return worker
    },
  })
  return {
    clock,
    lines,
    pool,
    forked,
    news,
    worker: (index: number) => forked[index] as FakeWorker,
    async started() {
      const started = pool.start()
      for (const worker of forked) worker.starts()
      await started
    },
    /** A new map, or with `isSameMap` other nodes. */
    changes(rows: Partial<MapSnapshot>, isSameMap = false) {
      current = at({ ...ROWS, ...rows }, isSameMap ? current.cluster : undefined)
      pool.adopt()
    },
  }
}

const updateIn = (message: ToWorker | undefined) => {
  const update = message?.type === 'start' ? message.cluster : message
  if (update?.type !== 'cluster') throw new Error(`no update: ${message?.type}`)
  return { ...fromText(update.text), keepsMap: update.keepsMap }
}

t.test('each worker gets its number, the configuration and the cluster when it listens', async (t) => {
  const { pool, forked, worker } = pooled()
  const started = pool.start()
  t.equal(forked.length, 2)
  t.same(worker(0).sent, [], 'before, nobody would hear it')
  for (const each of forked) each.says({ type: 'listening' })
  t.match(
    forked.map(({ sent }) => sent),
    [[{ type: 'start', number: 0 }], [{ type: 'start', number: 1 }]],
  )
  t.same(updateIn(worker(1).sent[0]), { savedAt: 0, snapshot: ROWS, keys: KEYS, keepsMap: false })
  t.notMatch(worker(0).sent[0], { config: { database: {} } }, 'nothing about the database')
  worker(0).says({ type: 'ready', describe: '' })
  let isReady = false
  void started.then(() => {
    isReady = true
  })
  await new Promise(setImmediate)
  t.notOk(isReady, 'not before all forward')
  worker(1).says({ type: 'ready', describe: '' })
  await started
})

t.test('one that cannot start ends all, with its error', async (t) => {
  const { pool, forked, worker, clock } = pooled(3)
  const started = pool.start()
  worker(0).starts()
  worker(1).says({ type: 'failed', code: 'PORT_TAKEN', message: 'TCP x is taken', hint: 'set stage1.edge' })
  worker(1).emit('exit', 1, null)
  await t.rejects(started, { code: 'PORT_TAKEN', message: /TCP x is taken/, hint: 'set stage1.edge' })
  t.same(
    [worker(0).signals, worker(2).signals, forked.length, clock.pending],
    [['SIGKILL'], ['SIGKILL'], 3, 0],
  )
})

t.test('one update at a time, and after it the latest', async (t) => {
  const { pool, started, changes, worker } = pooled(1)
  await started()
  changes({ version: 8 })
  changes({ version: 9 })
  changes({ version: 10 })
  t.equal(worker(0).sent.length, 2)
  t.equal(updateIn(worker(0).sent[1]).snapshot.version, 8)
  t.equal(pool.mapVersion, 7, 'what it works by, not what it was sent')
  worker(0).says({ type: 'adopted', mapVersion: 8 })
  t.equal(pool.mapVersion, 8)
  t.equal(updateIn(worker(0).sent[2]).snapshot.version, 10)
  worker(0).says({ type: 'adopted', mapVersion: 10 })
  t.equal(worker(0).sent.length, 3)
})

t.test('where only nodes have changed the map is not sent again', async (t) => {
  const { started, changes, worker } = pooled(1)
  await started()
  changes({ nodesRev: 2 }, true)
  const update = updateIn(worker(0).sent[1])
  t.match(update, { keepsMap: true, snapshot: { nodesRev: 2, pins: [], ranges: [], members: MEMBERS } })
  changes({ version: 8 })
  worker(0).says({ type: 'adopted', mapVersion: 7 })
  t.match(updateIn(worker(0).sent[2]), { keepsMap: false, snapshot: { version: 8, pins: ROWS.pins } })
})

t.test(
  'a worker that dies is replaced at once, then after growing delays; it starts by the latest map',
  async (t) => {
    const { clock, started, changes, worker, forked, lines, pool } = pooled()
    await started()
    clock.advance(10_000)
    worker(1).emit('exit', null, 'SIGKILL')
    t.equal(pool.mapVersion, 7, 'one that is gone works by no map')
    changes({ version: 8 })
    clock.advance(0)
    t.equal(forked.length, 3)
    worker(2).starts()
    t.match(worker(2).sent, [{ type: 'start', number: 1 }])
    t.equal(updateIn(worker(2).sent[0]).snapshot.version, 8)
    t.match(lines, [/worker 1 \(pid 101\) died: SIGKILL/, /worker 1 is back/])
    worker(2).emit('exit', 70, null)
    clock.advance(49)
    t.equal(forked.length, 3)
    clock.advance(51)
    t.equal(forked.length, 4)
    t.equal(worker(0).sent.length, 2, 'the other one has nothing to do with it')
  },
)

t.test('members that workers see go up or down are handed on', async (t) => {
  const { started, worker, news } = pooled()
  await started()
  const down = {
    type: 'member',
    member: 'a1',
    group: 'a',
    address: '10.0.0.11:5071',
    state: 'down',
    reason: 'x',
  }
  worker(1).says(down)
  t.same(news, [down])
})

t.test('closing asks all to stop, and waits no longer than it may', async (t) => {
  const { clock, pool, started, worker } = pooled()
  await started()
  const closed = pool.close()
  t.same(
    [0, 1].map((i) => worker(i).sent.at(-1)),
    [{ type: 'stop' }, { type: 'stop' }],
  )
  worker(0).emit('exit', 0, null)
  clock.advance(600)
  await closed
  t.same([worker(0).signals, worker(1).signals, clock.pending], [[], ['SIGKILL'], 0])
})

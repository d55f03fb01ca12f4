import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ClusterMembership, type Identity } from '../../db/cluster-membership.ts'
import { Database, type Log, type Statement } from '../../db/database.ts'
import { seedDemo } from '../../db/demo.ts'
import { registerNode } from '../../db/node-store.ts'
import { type Cluster, isClusterSocket } from '../../src/partition/cluster.ts'
import { testFolder, testServer } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'

const server = await testServer(t)
const MEMBERS = {
  a1: '127.0.0.1:1',
  a2: '[2001:db8::A]:2',
  b1: '127.0.0.1:3',
  b2: '127.0.0.1:4',
}
const INTERVAL_MS = 1000
const S1A: Identity = {
  name: 's1a',
  stage: 'stage1',
  addresses: { edge: '192.0.2.1:5060', inside: '10.0.0.1:5160' },
  version: '1',
}

/** Says when a statement is done, and can hold one up. */
class SlowDatabase extends Database {
  readonly done = new EventEmitter()
  readonly asked: string[] = []
  readonly #held = new Map<string, Promise<void>>()

  override async query<Row extends object>(
    statement: Statement | string,
    values?: unknown[],
  ): Promise<Row[]> {
    const name = typeof statement === 'string' ? statement : statement.name
    this.asked.push(name)
    try {
      const rows = await super.query<Row>(statement, values)
      await this.#held.get(name)
      return rows
    } finally {
      this.done.emit(name)
    }
  }

  /** The answers to one statement come only when the function that this returns is called. */
  hold(name: string): () => void {
    let release = () => {}
    this.#held.set(
      name,
      new Promise((resolve) => {
        release = () => {
          this.#held.delete(name)
          resolve()
        }
      }),
    )
    return release
  }

  countOf(name: string): number {
    return this.asked.filter((each) => each === name).length
  }
}

async function joined(t: Test, identity = S1A) {
  const url = await server.createDatabase()
  const lines: string[] = []
  const line = (level: string) => (_: unknown, text?: string) => lines.push(`${level} ${text ?? _}`)
  const log = {
    debug: () => {},
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  } as unknown as Log
  const db = new SlowDatabase({ url, node: 'test' }, { ...log, info: () => {}, warn: () => {} })
  await seedDemo(db, MEMBERS)
  const clock = new FakeClock()
  const membership = await ClusterMembership.join({
    db,
    identity,
    intervalMs: INTERVAL_MS,
    clock,
    log,
    file: join(await testFolder(t), 'cluster'),
  })
  const events = new EventEmitter()
  membership.onChange = (cluster) => events.emit('change', cluster)
  t.teardown(async () => {
    await membership.leave()
    await db.close()
  })
  return {
    url,
    db,
    clock,
    membership,
    lines,
    events,
    sql: <Row extends object>(text: string) => server.sql<Row>(url, text),
    /** The first cluster from now on of which `holds` is true. */
    until: async (holds: (cluster: Cluster) => boolean): Promise<Cluster> => {
      for (;;) {
        if (holds(membership.cluster)) return membership.cluster
        await once(events, 'change')
      }
    },
    /** Lets one interval pass and waits for the beat at its end. */
    beat: async () => {
      const beaten = once(db.done, 'node-heartbeat')
      clock.advance(INTERVAL_MS)
      await beaten
      // Queued behind everything that the beat still does.
      await new Promise((resolve) => setImmediate(resolve))
    },
    row: async () => {
      const [row] = await server.sql<{
        state: string
        reason: string | null
        map_version: string
        addresses: object
      }>(
        url,
        `select state, reason, map_version::text, addresses from tandem.node where name = '${identity.name}'`,
      )
      return row
    },
  }
}

const edgesOf = ({ edges }: Cluster) => edges.map(({ name }) => name)

t.test(
  'a node that joins is entered as loading, and knows the map, the keys and who is inside',
  async (t) => {
    const { membership, row, until } = await joined(t)
    t.same(await row(), { state: 'loading', reason: null, map_version: '1', addresses: S1A.addresses })
    const { map, keys, insideAddresses } = membership.cluster
    t.equal(map.version, 1)
    t.same([...map.groups.keys()], ['a', 'b'])
    t.equal(keys.current.length, 32)
    for (const member of ['127.0.0.1', '2001:db8::a']) t.ok(insideAddresses.has(member), member)
    const { edges, insideAddresses: later } = await until((cluster) => cluster.edges.length > 0)
    t.same(edges, [
      {
        name: 's1a',
        outside: [{ transport: 'udp', address: '192.0.2.1', port: 5060 }],
        inside: [{ transport: 'udp', address: '10.0.0.1', port: 5160 }],
      },
    ])
    t.ok(later.has('10.0.0.1'))
    t.notOk(later.has('192.0.2.1'), 'the outside is no place to be trusted')
  },
)

t.test('what it reports is there for all to see', async (t) => {
  const { membership, row } = await joined(t)
  await membership.report('serving')
  t.match(await row(), { state: 'serving', reason: null })
  await membership.report('degraded', 'because')
  t.match(await row(), { state: 'degraded', reason: 'because' })
})

t.test('its heart beats once an interval, and brings back a row that somebody removed', async (t) => {
  const { sql, beat, row, membership } = await joined(t)
  await membership.report('serving')
  await sql(`update tandem.node set heartbeat_at = '2000-01-01'`)
  await beat()
  const [{ age } = { age: -1 }] = await sql<{ age: number }>(
    `select extract(epoch from now() - heartbeat_at)::float as age from tandem.node`,
  )
  t.ok(age >= 0 && age < 10, `${age} s ago`)
  await sql('delete from tandem.node')
  await beat()
  await membership.report('serving')
  t.match(await row(), { state: 'serving', addresses: S1A.addresses })
})

t.test('it hears of a new map, and of nodes that come and go', async (t) => {
  const { db, sql, until, lines, membership } = await joined(t)
  await until((cluster) => edgesOf(cluster).includes('s1a'))
  await sql(`update tandem.slot_range set group_name = 'a' where first = 2048`)
  const { map } = await until((cluster) => cluster.map.version === 2)
  t.equal(map.groups.get('a')?.ranges.length, 5)
  t.ok(lines.includes('info map version 2 in force'))

  const other = { ...S1A, name: 's1b', addresses: { edge: '192.0.2.2:5060', inside: '[2001:DB8::2]:5160' } }
  const report = { ...other, mapVersion: 2, state: 'serving', reason: null } as const
  await registerNode(db, report)
  const come = await until((cluster) => edgesOf(cluster).length === 2)
  t.same(edgesOf(come), ['s1a', 's1b'])
  t.equal(come.edges[1]?.inside[0]?.address, '2001:db8::2', 'in the form of addresses on the wire')
  t.ok(come.insideAddresses.has('2001:db8::2'))
  await registerNode(db, { ...report, name: 'odd', addresses: { edge: 'x', inside: '10.0.0.9:1' } })
  await registerNode(db, { ...report, name: 'a1', stage: 'stage2', addresses: { listen: '10.0.0.8:1' } })
  await registerNode(db, { ...report, state: 'stopped' })
  const gone = await until((cluster) => edgesOf(cluster).length === 1)
  t.same(edgesOf(gone), ['s1a'], 'neither a node without usable addresses nor one of stage 2 is an edge')
  t.notOk(gone.insideAddresses.has('2001:db8::2'))
  t.equal(membership.cluster, gone)
})

const OTHER = {
  ...S1A,
  name: 's1b',
  addresses: { edge: '192.0.2.2:5060', inside: '10.0.0.2:5160, 10.0.0.2:5161' },
}
const SERVING = { mapVersion: 1, state: 'serving', reason: null } as const
const age = (seconds: number) =>
  `update tandem.node set heartbeat_at = now() - interval '${seconds} s' where name = 's1b'`

t.test(
  'an edge that was killed leaves the others’ sight, is trusted all the same, and comes back',
  async (t) => {
    const { db, sql, until, clock, lines, membership } = await joined(t)
    await registerNode(db, { ...OTHER, ...SERVING })
    const { edges } = await until((cluster) => edgesOf(cluster).length === 2)
    t.same(
      edges[1]?.inside.map(({ port }) => port),
      [5160, 5161],
    )
    await sql(age(4))
    await membership.refresh()
    t.same(edgesOf(membership.cluster), ['s1a', 's1b'], 'four missed reports are not enough')
    const { map } = membership.cluster
    await sql(age(6))
    clock.advance(INTERVAL_MS)
    const without = await until((cluster) => edgesOf(cluster).length === 1)
    t.same([edgesOf(without), without.silentEdges?.map(({ name }) => name)], [['s1a'], ['s1b']])
    t.ok(without.insideAddresses.has('10.0.0.2'), 'PostgreSQL may be all that it is cut off from')
    t.ok(
      isClusterSocket(without, { transport: 'udp', address: '10.0.0.2', port: 5161 }),
      'nobody is led there',
    )
    t.equal(without.map, map, 'the map is not made anew')
    await sql(age(0))
    clock.advance(INTERVAL_MS)
    await until((cluster) => edgesOf(cluster).length === 2)
    t.same(
      lines.filter((line) => /s1b/.test(line)),
      ['warn stage-1 node s1b is silent: others serve for it', 'info stage-1 node s1b is silent no longer'],
    )
  },
)

t.test('one that reports itself seldom has longer; one that stopped is gone at once', async (t) => {
  const { db, sql, until, membership } = await joined(t)
  await registerNode(db, { ...OTHER, ...SERVING, intervalMs: 10_000 })
  await until((cluster) => edgesOf(cluster).length === 2)
  await sql(age(40))
  await membership.refresh()
  t.same(edgesOf(membership.cluster), ['s1a', 's1b'])
  await registerNode(db, { ...OTHER, ...SERVING, state: 'stopped' })
  const { silentEdges } = await until((cluster) => edgesOf(cluster).length === 1)
  t.same(silentEdges, [])
})

t.test('nobody is taken for dead because PostgreSQL was away', async (t) => {
  const { url, db, sql, until, membership, beat, lines } = await joined(t)
  await registerNode(db, { ...OTHER, ...SERVING })
  await until((cluster) => edgesOf(cluster).length === 2)
  const name = url.split('/').at(-1) ?? ''
  const admin = (text: string) => server.sql(server.adminUrl, text)
  await admin(`alter database ${name} allow_connections false`)
  await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
  await beat()
  await membership.refresh()
  await admin(`alter database ${name} allow_connections true`)
  await sql(age(60))
  while (!lines.includes('info PostgreSQL answers again')) await beat()
  const read = db.countOf('map-version')
  await membership.refresh()
  t.ok(db.countOf('map-version') > read)
  t.same(edgesOf(membership.cluster), ['s1a', 's1b'])
})

t.test('rows that are no map change nothing', async (t) => {
  const { sql, clock, events, lines, membership, db, until } = await joined(t)
  await until((cluster) => edgesOf(cluster).includes('s1a'))
  const before = membership.cluster
  events.on('change', () => t.fail('no change'))
  const loaded = once(db.done, 'load-map')
  await sql(`set session_replication_role = replica; delete from tandem.slot_range where first = 0;
    update tandem.map_state set version = 2`)
  clock.advance(INTERVAL_MS)
  await loaded
  // Nothing new in itself, but answered after the map that was loaded has been judged.
  await membership.report('loading')
  t.equal(membership.cluster, before)
  t.same(lines, ['warn map version 2 is no map; version 1 stays in force'])
  events.removeAllListeners()
})

t.test('a rotation is heard of at once; until then the next key is accepted', async (t) => {
  const { sql, until, membership } = await joined(t)
  const { keys } = membership.cluster
  t.equal(keys.next?.length, 32)
  await sql('select tandem.rotate_cluster_key(true)')
  const rotated = await until((cluster) => cluster.keys !== keys)
  t.same([rotated.keys.current, rotated.keys.previous], [keys.next, keys.current])
  t.not(Buffer.compare(rotated.keys.next as Buffer, rotated.keys.current), 0)
})

t.test('new keys come with a later beat too, and never bring back an old map', async (t) => {
  const { db, sql, beat, events, membership, until } = await joined(t)
  await until((cluster) => edgesOf(cluster).includes('s1a'))
  const { keys } = membership.cluster
  const asked = db.countOf('cluster-keys')
  while (db.countOf('cluster-keys') === asked) await beat()
  await membership.report('serving')
  t.equal(membership.cluster.keys, keys, 'the same ones are the same')

  // Nobody is notified.
  await sql(`set session_replication_role = replica;
    update tandem.cluster_key set secret = (select secret from tandem.cluster_key where role = 'current')
    where role = 'previous'; update tandem.cluster_key set secret = tandem.random_key() where role = 'current'`)
  const release = db.hold('cluster-keys')
  const before = db.countOf('cluster-keys')
  while (db.countOf('cluster-keys') === before) await beat()
  await sql(`update tandem.slot_range set group_name = 'a' where first = 2048`)
  await until(({ map }) => map.version === 2)
  release()
  const [cluster] = (await once(events, 'change')) as [Cluster]
  t.equal(cluster.map.version, 2)
  t.same(cluster.keys.previous, keys.current)
  t.not(Buffer.compare(cluster.keys.current, keys.current), 0)
})

t.test('beats do not pile up while PostgreSQL is silent, and leaving waits a second for it', async (t) => {
  const { db, clock, membership, row } = await joined(t)
  await membership.report('serving')
  const before = db.countOf('node-heartbeat')
  const release = db.hold('node-heartbeat')
  clock.advance(20 * INTERVAL_MS)
  const left = membership.leave()
  clock.advance(999)
  t.equal(clock.pending, 1)
  clock.advance(1)
  await left
  t.equal(clock.pending, 0)
  release()
  await membership.report('stopped')
  t.match(await row(), { state: 'stopped' }, 'if it comes to life in time, it hears of it')
  t.equal(db.countOf('node-heartbeat') - before, 3, 'the one of twenty that was under way, and two reports')
})

t.test('a node that leaves is entered as stopped, and leaves no timer', async (t) => {
  const { membership, row, clock, events, sql, db } = await joined(t)
  await membership.report('serving')
  await membership.leave()
  t.match(await row(), { state: 'stopped' })
  t.equal(clock.pending, 0)
  events.on('change', () => t.fail('hears of nothing any more'))
  await sql(`update tandem.slot_range set group_name = 'a' where first = 2048`)
  clock.advance(10 * INTERVAL_MS)
  await db.query('select 1')
})

t.test(
  'PostgreSQL away is said once, throws nothing and changes nothing; its return is said too',
  async (t) => {
    const { url, beat, clock, lines, membership, row, until } = await joined(t)
    await until((cluster) => edgesOf(cluster).includes('s1a'))
    const before = membership.cluster
    const name = url.split('/').at(-1) ?? ''
    const admin = (text: string) => server.sql(server.adminUrl, text)
    await admin(`alter database ${name} allow_connections false`)
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
    await beat()
    await beat()
    await membership.report('serving')
    t.equal(membership.cluster, before)
    const said = () => lines.filter((line) => /PostgreSQL/.test(line))
    t.same(said(), ['warn PostgreSQL does not answer'])

    await admin(`alter database ${name} allow_connections true`)
    while (said().length < 2) await beat()
    t.same(said(), ['warn PostgreSQL does not answer', 'info PostgreSQL answers again'])
    t.match(await row(), { state: 'serving' }, 'what it reported meanwhile')

    await admin(`alter database ${name} allow_connections false`)
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
    await membership.leave()
    t.equal(clock.pending, 0)
    await admin(`alter database ${name} allow_connections true`)
  },
)

t.test('nobody joins a database without a map', async (t) => {
  const url = await server.createDatabase()
  const db = await server.open(url)
  const clock = new FakeClock()
  const file = join(await testFolder(t), 'cluster')
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const options = { db, identity: S1A, intervalMs: INTERVAL_MS, clock, log, file }
  await t.rejects(ClusterMembership.join(options), { code: 'MAP_MISSING' })
  t.same(await server.sql(url, 'select name from tandem.node'), [])
  t.equal(clock.pending, 0)
})

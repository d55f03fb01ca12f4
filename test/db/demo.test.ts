import { createHash } from 'node:crypto'
import t from 'tap'
import { loadClusterKeys } from '../../db/cluster-key-store.ts'
import { seedDemo } from '../../db/demo.ts'
import { loadMap } from '../../db/map-store.ts'
import { migrate } from '../../db/migrate.ts'
import { heartbeat, type NodeReport, registerNode } from '../../db/node-store.ts'
import { findSubscriber } from '../../db/subscriber-store.ts'
import { PartitionMap } from '../../src/partition/partition-map.ts'
import { silent, testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:5071', a2: '127.0.0.1:5072', b1: '[::1]:5073', b2: '127.0.0.1:5074' }

t.test('a new database gets the demo, once, also when several ask at once', async (t) => {
  const db = await server.open(await server.createDatabase())
  t.same((await loadMap(db)).ranges, [], 'a database without a map can be loaded')
  const results = await Promise.all([1, 2, 3].map(() => seedDemo(db, ADDRESSES)))
  t.same(results.sort(), [false, false, true])
  const map = await loadMap(db)
  t.equal(map.version, 1)
  t.same(map.domains, [
    { name: 'example.com', realm: 'example.com', hashBy: 'user', callerAuth: true, redirect: false },
  ])
  t.same(map.groups[0], { name: 'a', state: 'active', databaseUrls: null })
  t.same(map.pins, [])
  t.equal(map.ranges.length, 8)
  t.match(
    map.members.find(({ node }) => node === 'b1'),
    { group: 'b', role: 'master', address: '::1', port: 5073 },
  )
  const owners = new PartitionMap(map)
  t.equal(owners.ownerOf('alice').name, 'b')
  t.equal(owners.ownerOf('bob').name, 'a')
})

t.test('users have hashes of their passwords over the realm', async (t) => {
  const db = await server.open(await server.createDatabase())
  await seedDemo(db, ADDRESSES)
  const hash = (algorithm: string) =>
    createHash(algorithm).update('carol:example.com:carol-secret').digest('hex')
  t.match(await findSubscriber(db, 'example.com', 'carol'), {
    slot: 3267,
    enabled: true,
    ha1Md5: hash('md5'),
    ha1Sha256: hash('sha256'),
    ha1Sha512256: hash('sha512-256'),
  })
})

t.test('a database in use is left alone', async (t) => {
  const url = await server.createDatabase()
  await server.sql(url, `insert into tandem.domain (name) values ('example.net')`)
  const db = await server.open(url)
  t.equal(await seedDemo(db, ADDRESSES), false)
  t.same((await loadMap(db)).groups, [])
})

t.test('each database has keys of its own', async (t) => {
  const keys = await Promise.all(
    [1, 2].map(async () => {
      const url = await server.createDatabase({ migrated: false })
      await migrate(url, silent)
      return loadClusterKeys(await server.open(url))
    }),
  )
  const secrets = keys.flatMap(({ current, previous }) => [current, previous])
  t.ok(secrets.every((secret) => secret?.length === 32))
  t.equal(new Set(secrets.map((secret) => Buffer.from(secret ?? '').toString('hex'))).size, 4)
})

t.test('a node reports itself', async (t) => {
  const db = await server.open(await server.createDatabase())
  const report: NodeReport = {
    name: 'a1',
    stage: 'stage2',
    addresses: { listen: '127.0.0.1:5071' },
    version: '0.1.0',
    mapVersion: 0,
    state: 'loading',
    reason: null,
  }
  t.equal(await heartbeat(db, report), false, 'no row yet')
  await registerNode(db, report)
  const before = await loadMap(db)
  t.match(before.nodes, [report])
  t.equal(await heartbeat(db, { ...report, mapVersion: 7 }), true)
  const after = await loadMap(db)
  t.equal(after.nodes[0]?.mapVersion, 7)
  t.equal(after.nodesRev, before.nodesRev, 'a heartbeat alone concerns nobody')
  await heartbeat(db, { ...report, state: 'degraded', reason: 'database away' })
  const degraded = await loadMap(db)
  t.match(degraded.nodes, [{ state: 'degraded', reason: 'database away' }])
  t.ok(degraded.nodesRev > after.nodesRev)
})

import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { Database, type DatabaseOptions, type Subscription } from '../../db/database.ts'
import { seedDemo } from '../../db/demo.ts'
import type { MapSnapshot } from '../../db/map-store.ts'
import { watchMap } from '../../db/map-watch.ts'
import { registerNode } from '../../db/node-store.ts'
import { silent, testServer } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }
const EDIT = `update tandem.slot_range set group_name = 'a' where first = 2048`
const UNDO = `update tandem.slot_range set group_name = 'b' where first = 2048`

/** A database that hears no notifications. */
class Deaf extends Database {
  override listen(): Subscription {
    return { stop: () => {} }
  }
}

type Opener = (options: DatabaseOptions) => Database

async function watched(t: Test, open: Opener = (options) => new Database(options, silent)) {
  const url = await server.createDatabase()
  const db = open({ url, node: 'watcher' })
  await seedDemo(db, ADDRESSES)
  const clock = new FakeClock()
  const events = new EventEmitter()
  const watch = watchMap(db, {
    intervalMs: 1000,
    clock,
    onChange: (snapshot) => events.emit('change', snapshot),
    onError: (error) => events.emit('failure', error),
  })
  t.teardown(async () => {
    watch.stop()
    await db.close()
  })
  const next = async () => (await once(events, 'change'))[0] as MapSnapshot
  return { url, db, watch, clock, events, next }
}

t.test('an edit is here within a second, by notification alone', async (t) => {
  const { url, next } = await watched(t)
  t.equal((await next()).version, 1, 'the first snapshot comes by itself')
  for (const [version, text] of [
    [2, EDIT],
    [3, UNDO],
  ] as const) {
    const change = next()
    const from = performance.now()
    await server.sql(url, text)
    t.equal((await change).version, version)
    t.ok(performance.now() - from < 1000)
  }
})

t.test('a listener whose connection was killed comes back and re-reads', async (t) => {
  const { url, next } = await watched(t)
  await next()
  const change = next()
  const kill = `select pg_terminate_backend(pid) from pg_stat_activity
    where query like 'listen %' and datname = current_database()`
  // The first look at the map may have come before the listener.
  let killed = await server.sql(url, kill)
  for (const until = Date.now() + 10_000; killed.length === 0 && Date.now() < until; )
    killed = await server.sql(url, kill)
  t.equal(killed.length, 1)
  await server.sql(url, EDIT)
  t.equal((await change).version, 2)
  const again = next()
  await server.sql(url, UNDO)
  t.equal((await again).version, 3, 'and hears notifications again')
})

t.test('a missed notification costs one interval', async (t) => {
  const { url, watch, clock, next } = await watched(t, (options) => new Deaf(options, silent))
  await next()
  const change = next()
  await server.sql(url, EDIT)
  clock.advance(1000)
  t.equal((await change).version, 2)
  watch.stop()
  t.equal(clock.pending, 0, 'stopping leaves no timer behind')
})

t.test('a node that comes, or changes its state, is a change; a heartbeat is not', async (t) => {
  const { db, next } = await watched(t)
  await next()
  const change = next()
  await registerNode(db, {
    name: 's1a',
    stage: 'stage1',
    addresses: { edge: '127.0.0.1:5060' },
    version: '1',
    mapVersion: 1,
    state: 'serving',
    reason: null,
  })
  const snapshot = await change
  t.equal(snapshot.version, 1)
  t.match(snapshot.nodes, [{ name: 's1a', addresses: { edge: '127.0.0.1:5060' }, state: 'serving' }])
  t.ok(Math.abs((snapshot.nodes[0]?.heartbeatAt ?? 0) - Date.now()) < 10_000)
})

t.test('a database that is away is an error now and no more than that', async (t) => {
  const { url, clock, events, next } = await watched(t, (options) => new Deaf(options, silent))
  await next()
  const name = url.split('/').at(-1) ?? ''
  await server.sql(server.adminUrl, `alter database ${name} allow_connections false`)
  await server.sql(
    server.adminUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
  )
  const failure = once(events, 'failure')
  clock.advance(1000)
  t.match((await failure)[0], { name: 'TandemError', code: /^DATABASE_/ })
  await server.sql(server.adminUrl, `alter database ${name} allow_connections true`)
  await server.sql(url, EDIT)
  const change = next()
  const ticks = setInterval(() => clock.advance(1000), 50)
  t.equal((await change).version, 2)
  clearInterval(ticks)
})

import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { history, redirectDomain, rollbackTo } from '../../db/map-admin.ts'
import { loadMap } from '../../db/map-store.ts'
import { addMapCommands } from '../../scripts/map-commands.ts'
import { PartitionMap } from '../../src/partition/partition-map.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function demo() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  const redirects = async () => new PartitionMap(await loadMap(db)).redirects('example.com')
  return { db, redirects, tandem: commandRunner(url, addMapCommands) }
}

t.test('a domain is redirected and proxied again, each as a version of the map', async (t) => {
  const { db, redirects } = await demo()
  t.equal(await redirects(), false)
  const { version, changes } = await redirectDomain(db, 'Example.com', true, { comment: 'own SBCs follow' })
  t.equal(await redirects(), true)
  t.match(changes, [
    { what: 'domain', item: 'example.com', before: 'redirect false', after: 'redirect true' },
  ])
  t.match(await history(db, 1), [{ version, comment: 'own SBCs follow' }])
  t.equal((await redirectDomain(db, 'example.com', true)).version, version, 'it is so already')
  await rollbackTo(db, version - 1)
  t.equal(await redirects(), false)
  await t.rejects(redirectDomain(db, 'example.org', true), {
    code: 'MAP_REFUSED',
    message: /there is no domain example\.org/,
    hint: /example\.com/,
  })
})

t.test('versions from before there was a choice can be gone back to', async (t) => {
  const { db, redirects } = await demo()
  await db.query(
    `update tandem.map_version set snapshot = jsonb_set(snapshot, '{domain}', (snapshot -> 'domain') #- '{0,redirect}')`,
  )
  const { version } = await redirectDomain(db, 'example.com', true)
  await rollbackTo(db, version - 1)
  t.equal(await redirects(), false)
})

t.test('tandem map domain', async (t) => {
  const { tandem, redirects } = await demo()
  t.match((await tandem('map', 'domain', 'example.com', '--redirect', 'on', '--dry-run')).stdout, /Dry run/)
  t.equal(await redirects(), false)
  const { stdout } = await tandem('map', 'domain', 'example.com', '--redirect', 'on')
  t.match(stdout, /domain +example\.com +redirect false +redirect true/)
  t.equal(await redirects(), true)
  await tandem('map', 'domain', 'example.com', '--redirect', 'off')
  t.equal(await redirects(), false)
})

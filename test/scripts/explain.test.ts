import t from 'tap'
import { type BindingRow, writeBindings } from '../../db/binding-store.ts'
import { seedDemo } from '../../db/demo.ts'
import { type NodeReport, registerNode } from '../../db/node-store.ts'
import { addExplainCommand, type Explanation } from '../../scripts/explain.ts'
import { durationText } from '../../scripts/explain-text.ts'
import { addMapCommands } from '../../scripts/map-commands.ts'
import { parseTypedAor } from '../../scripts/typed-aor.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

const node = (name: string, mapVersion = 1): NodeReport => ({
  name,
  stage: name.startsWith('s') ? 'stage1' : 'stage2',
  addresses: name.startsWith('s') ? { edge: '192.0.2.1:5060', inside: '10.0.0.1:5159, 10.0.0.1:5160' } : {},
  version: null,
  mapVersion,
  state: 'serving',
  reason: null,
})

async function demo() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  const tandem = commandRunner(url, (program, context) => {
    addExplainCommand(program, context)
    addMapCommands(program, context)
  })
  const explain = async (aor: string): Promise<Explanation> =>
    JSON.parse((await tandem('explain', aor, '--json')).stdout)
  return { db, tandem, explain, edit: (text: string) => server.sql(url, text) }
}

const BINDING: BindingRow = {
  slot: 15431,
  aor: 'alice@example.com',
  key: 'k',
  contact: 'sip:alice@198.51.100.7:5062',
  params: '',
  q: 1000,
  path: ['<sip:token@10.0.0.1:5160;lr>'],
  callId: 'c',
  cseq: 1,
  instance: null,
  regId: null,
  userAgent: 'Téléphone',
  received: null,
  expiresAt: Date.now() + 3_599_000,
  changedAt: Date.now(),
  deleted: false,
  rev: 0,
}

t.test('who serves alice, and why', async (t) => {
  const { db, tandem, explain } = await demo()
  for (const name of ['s1', 'b1', 'b2']) await registerNode(db, node(name))
  const expired = { ...BINDING, key: 'old', contact: 'sip:old@198.51.100.7', expiresAt: Date.now() - 1 }
  await writeBindings(db, [BINDING, expired])
  t.match(await explain('sip:alice@example.com'), {
    aor: 'sip:alice@example.com',
    domain: { name: 'example.com', served: true, hashBy: 'user' },
    key: 'alice',
    slot: 15431,
    decidedBy: { kind: 'range', rule: '14336-16383' },
    group: 'b',
    members: [
      { node: 'b1', role: 'master', address: '127.0.0.1:3', state: 'serving', isStale: false },
      { node: 'b2', role: 'slave' },
    ],
    serving: 'b1',
    subscriber: { enabled: true, ha1: ['MD5', 'SHA-256', 'SHA-512-256'] },
    bindings: [{ contact: BINDING.contact, through: 's1' }],
  })
  const { stdout } = await tandem('explain', 'alice@example.com')
  t.match(stdout, /\n {2}slot +15431\n {2}decided by +slots 14336-16383\n {2}group +b\n/)
  t.match(stdout, /\n {2}\* +b1 +master +127\.0\.0\.1:3 +serving +\d\.\d s ago\n/)
  t.match(stdout, /\n {2}b1 serves: it is the master and reports itself serving\.\n/)
  t.match(stdout, /which the database does not know|of which the database does not know/)
  t.match(stdout, /known and enabled; password for MD5, SHA-256, SHA-512-256/)
  t.match(stdout, /sip:alice@198\.51\.100\.7:5062 +s1 +59 min \d+ s +/)
  t.notMatch(stdout, /sip:old/)
})

t.test('pins and prefixes go before the slots', async (t) => {
  const { tandem, explain } = await demo()
  await tandem('map', 'pin', 'alice', 'a')
  await tandem('map', 'pin', '+49*', 'a')
  await tandem('map', 'pin', '+4930*', 'b')
  t.match(await explain('alice@example.com'), { group: 'a', decidedBy: { kind: 'pin', rule: 'alice' } })
  const berlin = { key: '+493012', group: 'b', decidedBy: { kind: 'prefix', rule: '+4930*' } }
  t.match(await explain('+49-30-12@example.com'), berlin)
  t.match(await explain('tel:+49-30-12'), berlin)
  t.match(await explain('+49-89-12@example.com'), { group: 'a', decidedBy: { kind: 'prefix', rule: '+49*' } })
})

t.test('members that do not serve are passed over, with the reason', async (t) => {
  const { db, explain, tandem, edit } = await demo()
  t.match(await explain('alice@example.com'), {
    serving: null,
    why: /b1, its master, has never reported itself; b2/,
  })
  await registerNode(db, node('b1'))
  await registerNode(db, node('b2'))
  await edit(`update tandem.node set heartbeat_at = now() - interval '1 hour' where name = 'b1'`)
  t.match(await explain('alice@example.com'), {
    serving: 'b2',
    why: 'it is the slave and reports itself serving; b1, its master, has not been heard of lately',
  })
  await edit(`update tandem.node set state = 'draining', reason = 'new disks' where name = 'b2'`)
  t.match(
    (await tandem('explain', 'alice@example.com')).stdout,
    /b2 +slave .* draining: new disks .*\n {2}nobody serves: /,
  )
})

t.test('nodes behind the map are named', async (t) => {
  const { db, tandem, explain } = await demo()
  await registerNode(db, node('s1'))
  await tandem('map', 'pin', 'alice', 'a')
  await tandem('map', 'pin', 'bob', 'a')
  t.match(await explain('bob@example.com'), {
    mapVersion: 3,
    nodes: [{ name: 's1', mapVersion: 1, behind: 2 }],
  })
  t.match((await tandem('explain', 'bob@example.com')).stdout, /\n {2}s1 +1 +serving .* 1 +behind by 2\n/)
})

t.test('aliases, both ways; users and domains that are not known', async (t) => {
  const { tandem, explain, edit } = await demo()
  await edit(`insert into tandem.alias (domain, username, target_domain, target_username)
    values ('example.com', 'sales', 'example.com', 'alice')`)
  await edit(`update tandem.subscriber set enabled = false where username = 'alice'`)
  const alias = await tandem('explain', 'sales@example.com')
  t.match(alias.stdout, /an alias of alice@example\.com: tandem explain alice@example\.com/)
  const alice = await tandem('explain', 'alice@example.com')
  t.match(alice.stdout, /known, but disabled.*\n {2}sales@example\.com is an alias of this/)
  t.match((await tandem('explain', 'nobody@example.com')).stdout, /not known: no such subscriber/)
  t.match(
    (await tandem('explain', 'x@example.net')).stdout,
    /example\.net is not served here: requests for it are refused/,
  )
  t.match(await explain('alice'), { aor: 'alice@example.com' }, 'the only domain')
  await edit(`insert into tandem.domain (name, hash_by) values ('example.org', 'user@domain')`)
  await t.rejects(tandem('explain', 'alice'), { code: 'USAGE', hint: /example\.com, example\.org/ })
  t.match(await explain('100@example.org'), { key: '100@example.org', domain: { hashBy: 'user@domain' } })
})

t.test('Unicode is typed as it is and hashed as it is on the wire', async (t) => {
  const { tandem } = await demo()
  const { stdout } = await tandem('explain', 'müller@example.com')
  t.match(stdout, /^sip:müller@example\.com\n/)
  t.match(stdout, /hashed +m%C3%BCller /)
})

t.test('a database without a map, and what is no address', async (t) => {
  const url = await server.createDatabase()
  const tandem = commandRunner(url, addExplainCommand)
  t.match((await tandem('explain', 'a@b')).stdout, /decided by +nothing: the map is empty/)
  for (const wrong of ['', '@example.com', 'a b@example.com', 'alice@', 'sip:', 'http://x']) {
    t.throws(() => parseTypedAor(wrong), { code: 'USAGE' }, wrong)
  }
})

t.test('durations', async (t) => {
  const texts = [400, 59_999, 725_000, 12_000_000, 345_600_000].map(durationText)
  t.same(texts, ['0.4 s', '59 s', '12 min 5 s', '3 h 20 min', '4 days'])
})

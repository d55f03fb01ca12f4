import pg from 'pg'
import t from 'tap'
import { MessageLoad } from '../support/message-load.ts'
import { Tandem } from '../support/tandem.ts'

/** More of both for a recorded run: TEST_EDITS=100 TEST_RATE=1000. */
const EDITS = Number(process.env.TEST_EDITS ?? 12)
const RATE = Number(process.env.TEST_RATE ?? 300)
const NODES = ['s1', 's2', 'a1', 'a2', 'b1', 'b2']
const BOB_SLOT = 12_608

const tandem = await Tandem.start({
  host: '127.0.144.1',
  databasePort: 15544,
  dataDir: await Tandem.newDataDir(),
})
t.teardown(() => tandem.destroy())
const client = new pg.Client({ connectionString: (await tandem.says(/psql '([^']+)'/))[1] })
await client.connect()
t.teardown(() => client.end())

const bob = await tandem.phone('bob')
t.teardown(() => bob.close())
t.equal((await bob.register()).status, 200)

/** Commits an edit and waits until every node says that it is in force; in milliseconds after the commit. */
async function edit(sql: string): Promise<number> {
  const { rows } = await client.query<{ version: string }>('select version from tandem.map_state')
  const version = Number(rows[0]?.version) + 1
  await client.query(sql)
  const committedMs = performance.now()
  for (const node of NODES) await tandem.says(new RegExp(`${node} INFO +map version ${version} in force`))
  return performance.now() - committedMs
}

t.test(
  `${EDITS} edits under ${RATE} requests/s: each in force everywhere within a second, no request lost`,
  async (t) => {
    const load = await MessageLoad.start({
      address: '127.0.144.2',
      servers: tandem.edges,
      target: 'sip:bob@example.com',
      rate: RATE,
    })
    const delays: number[] = []
    for (let i = 0; i < EDITS; i++) {
      const group = i % 2 === 0 ? 'b' : 'a'
      delays.push(await edit(`select tandem.assign(${BOB_SLOT}, ${BOB_SLOT}, '${group}')`))
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    const report = await load.stop()
    delays.sort((a, b) => a - b)
    t.comment(
      `in force everywhere after: median ${delays[delays.length >> 1]?.toFixed(0)} ms, worst ${delays.at(-1)?.toFixed(0)} ms`,
    )
    t.comment(`${report.sent} requests, answers ${JSON.stringify(report.statuses)}`)
    t.ok((delays.at(-1) ?? Number.POSITIVE_INFINITY) < 1000)
    t.same(report.statuses, { 200: report.sent }, 'every request has been answered with 200')
  },
)

t.test('a map that cannot be is refused, with the slots named, and changes nothing', async (t) => {
  const before = await client.query('select * from tandem.slot_range order by first')
  await t.rejects(
    client.query('delete from tandem.slot_range where first = (select min(first) from tandem.slot_range)'),
    {
      message: /slots? 0/,
    },
  )
  t.same((await client.query('select * from tandem.slot_range order by first')).rows, before.rows)
})

t.test('a pinned user is called in his new group, also at its slave', async (t) => {
  const alice = await tandem.phone('alice')
  t.teardown(() => alice.close())
  await edit(`select tandem.pin('bob', 'b')`)
  t.equal((await alice.message(bob.aor, 'through b')).status, 200)
  t.equal((await bob.register()).status, 200)
  await tandem.killNode('b1')
  t.equal((await alice.message(bob.aor, 'through b2')).status, 200)
})

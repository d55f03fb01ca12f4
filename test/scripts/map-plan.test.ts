import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { applyPlan, readMapLoad } from '../../db/map-plan-store.ts'
import { addMapCommands } from '../../scripts/map-commands.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

async function demo({ users = 0, third = false } = {}) {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  const tandem = commandRunner(url, addMapCommands)
  const edit = (text: string) => server.sql(url, text)
  await edit(`insert into tandem.subscriber (domain, username)
    select 'example.com', 'user' || n from generate_series(1, ${users}) as n`)
  if (third) await tandem('map', 'add-group', 'c', '--master', 'c1=192.0.2.7:5071')
  const plan = async (...args: string[]) =>
    JSON.parse((await tandem('map', 'plan', '--json', ...args)).stdout)
  const show = async () => JSON.parse((await tandem('map', 'show', '--json')).stdout)
  return { db, tandem, plan, show, edit }
}

t.test('balanced groups have nothing to move; one that owns nothing is pointed at', async (t) => {
  const { tandem } = await demo({ third: true })
  const { stdout } = await tandem('map', 'plan')
  t.match(
    stdout,
    /Nothing to move: the groups are as even as slots allow\.\nGroup c owns nothing .* --add c brings it in\.\n$/,
  )
})

t.test('a group is brought in, in one version, and moves what was said', async (t) => {
  const { tandem, plan, show } = await demo({ users: 2000, third: true })
  const proposed = await plan('--add', 'c')
  t.equal(proposed.movedSlots, 5460)
  t.ok(proposed.steps.length <= 4)
  t.match(proposed.groups, [{ slotsAfter: 5462 }, { slotsAfter: 5462 }, { slots: 0, slotsAfter: 5460 }])
  const text = (await tandem('map', 'plan', '--add', 'c')).stdout
  t.match(text, /\n {2}Range +From +To +Slots +Subscribers\n {2}\d+-\d+ +[ab] +c +[\d,]+ +[\d,]+\n/)
  t.match(text, /Nothing was changed\. To make it: tandem map plan --add c --apply\n$/)
  t.equal((await show()).version, 2)

  const done = await tandem('map', 'plan', '--add', 'c', '--apply', '-m', 'c joins')
  t.match(done.stdout, /Version 3 is in force\. Undo: tandem map rollback 2\n$/)
  const { version, groups } = await show()
  t.equal(version, 3)
  t.match(groups, [{ slots: 5462 }, { slots: 5462 }, { slots: 5460 }])
  const { changes } = JSON.parse((await tandem('map', 'diff', '2', '3', '--json')).stdout)
  const moved = changes.reduce(
    (sum: number, { subscribers }: { subscribers: number }) => sum + subscribers,
    0,
  )
  t.equal(moved, proposed.movedSubscribers)
  t.match((await tandem('map', 'history', '-n', '1')).stdout, /c joins/)
  t.equal((await plan()).movedSlots, 0, 'and then it is even')
})

t.test('a group is drained with its pins, and is draining', async (t) => {
  const { tandem, plan, show } = await demo({ users: 500, third: true })
  await tandem('map', 'set', '0-999', 'c')
  await tandem('map', 'pin', 'user1', 'b')
  const proposed = await plan('--drain', 'b')
  t.ok(proposed.movedSubscribers > 200)
  const { madeVersion } = await plan('--drain', 'b', '--apply')
  t.equal(madeVersion, proposed.version + 1)
  const { groups, pins } = await show()
  t.match(groups[1], { group: 'b', state: 'draining', slots: 0, pins: 0, subscribers: 0 })
  t.notMatch(pins, [{ group: 'b' }])
  t.ok(Math.abs(groups[0].slots - groups[2].slots) <= 1)
  const { changes } = JSON.parse((await tandem('map', 'diff', '--json')).stdout)
  const moved = changes.reduce(
    (sum: number, { subscribers }: { subscribers: number | null }) => sum + (subscribers ?? 0),
    0,
  )
  t.equal(moved, proposed.movedSubscribers)
})

t.test('pinned users weigh on their group, and a heavy slot is named', async (t) => {
  const { db, plan, tandem, edit } = await demo()
  await edit(
    `insert into tandem.domain (name) select 'tenant' || n || '.example' from generate_series(1, 300) as n`,
  )
  await edit(`insert into tandem.subscriber (domain, username)
    select 'tenant' || n || '.example', '100' from generate_series(1, 300) as n`)
  const slot = Number(((await edit(`select tandem.slot_of('100') as slot`)) as { slot: number }[])[0]?.slot)
  t.match((await plan()).heavySlots, [{ slot, load: 300 }])
  t.match((await tandem('map', 'plan')).stdout, new RegExp(`slot ${slot}: 300\\n.*No plan can divide a slot`))
  await tandem('map', 'pin', '1*', 'a')
  const { subscribers } = await readMapLoad(db)
  t.equal(subscribers.bySlot[slot], 0)
  t.same([...subscribers.pinned], [['a', 300]])
  const proposed = await plan()
  t.ok(proposed.groups[0].slotsAfter < 3000, 'the slots make room for the pinned')
  t.equal(proposed.groups[0].loadAfter, 300)
})

t.test('a plan for another version of the map is refused, and nothing is changed', async (t) => {
  const { db, tandem, show } = await demo()
  await tandem('map', 'pin', 'alice', 'a')
  const runs = [{ first: 0, last: 9, group: 'b' }]
  const late = applyPlan(db, { version: 1, runs, drained: [], targets: ['a', 'b'] })
  await t.rejects(late, { code: 'MAP_REFUSED', message: /is version 2 now; the plan was made for version 1/ })
  const wrong = applyPlan(db, {
    version: 2,
    runs: [{ ...runs[0], group: 'x' } as never],
    drained: [],
    targets: [],
  })
  await t.rejects(wrong, { code: 'MAP_REFUSED', message: /group x, which does not exist/ })
  t.equal((await show()).version, 2)
})

t.test('groups that cannot be planned for', async (t) => {
  const { tandem } = await demo()
  const plan = (...args: string[]) => tandem('map', 'plan', ...args)
  await t.rejects(plan('--add', 'c'), {
    code: 'USAGE',
    message: /there is no group c/,
    hint: /tandem map add-group c/,
  })
  await t.rejects(plan('--drain', 'a,b'), { code: 'USAGE', message: /no group is left/ })
  await t.rejects(plan('--add', 'a', '--drain', 'a'), { code: 'USAGE' })
  await t.rejects(plan('--apply', '--dry-run'), { code: 'commander.conflictingOption' })
  await tandem('map', 'drain', 'b')
  await t.rejects(plan('--add', 'b'), { code: 'USAGE', message: /b is draining/ })
  const empty = commandRunner(await server.createDatabase(), addMapCommands)
  await t.rejects(empty('map', 'plan'), { code: 'MAP_MISSING', message: /the map is empty/ })
})

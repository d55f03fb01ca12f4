import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { addMapCommands, member, slotRanges } from '../../scripts/map-commands.ts'
import { commandRunner } from '../support/commands.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

/** A database with the demo: a and b own alternate ranges of 2048; alice is in slot 15431, bob in 12608. */
async function demo() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await seedDemo(db, ADDRESSES)
  return { db, tandem: commandRunner(url, addMapCommands) }
}

t.test('map show: groups, slots and pins', async (t) => {
  const { tandem } = await demo()
  await tandem('map', 'pin', '+4930*', 'a')
  const { stdout } = await tandem('map', 'show')
  t.match(stdout, /^Map version 2: 2 groups, 8 ranges, 1 pin\n/)
  t.match(stdout, /\n {2}Group +State +Master +Members +Slots +Pins +Subscribers +Share +Bindings\n/)
  t.match(stdout, /\n {2}a +active +a1 +2 +8,192 +1 +\d/)
  t.match(stdout, /\n {2}2048-4095 +b\n/)
  t.match(stdout, /\n {2}\+4930\* +a\n/)
  const json = JSON.parse((await tandem('map', 'show', '--json')).stdout)
  t.match(json, { version: 2, groups: [{ group: 'a', slots: 8192 }, {}], pins: [{ value: '+4930' }] })
  t.equal(json.ranges.length, 8)
})

t.test('of many ranges the first are shown, all on request', async (t) => {
  const { tandem } = await demo()
  const odd = Array.from({ length: 60 }, (_, i) => `${2 * i + 1}`).join(',')
  await tandem('map', 'set', odd, 'b')
  const lines = (text: string) => text.split('\n').filter((line) => /^ {2}\d+(-\d+)? +[ab]$/.test(line))
  const short = (await tandem('map', 'show')).stdout
  t.equal(lines(short).length, 40)
  t.match(short, /… \d+ more, with --all\n/)
  t.ok(lines((await tandem('map', 'show', '--all')).stdout).length > 120)
})

t.test('map set: a dry run counts and changes nothing; the edit is kept with its comment', async (t) => {
  const { tandem } = await demo()
  const dry = await tandem('map', 'set', '14336-16383', 'a', '--dry-run')
  t.match(dry.stdout, /slots +14336-16383 +b +a +1\n/)
  t.match(
    dry.stdout,
    /Dry run, nothing was changed\. It would make version 2; 1 subscriber changes owner\.\n$/,
  )
  t.match((await tandem('map', 'show')).stdout, /^Map version 1:/)

  const done = await tandem('map', 'set', '14336-16383', 'a', '-m', 'disks of b1')
  t.match(done.stdout, /Version 2 is in force; 1 subscriber changes owner\. Undo: tandem map rollback 1\n$/)
  t.match(
    (await tandem('map', 'history', '-n', '1')).stdout,
    /^Version .*\n +2 .* disks of b1 +slots 14336-16383: b → a\n$/,
  )

  t.match(
    (await tandem('map', 'set', '14336-16383', 'a')).stdout,
    /^Nothing to change: version 2 is like that already/,
  )
})

t.test('several runs of slots are one version', async (t) => {
  const { tandem } = await demo()
  const { stdout } = await tandem('map', 'set', '0-9,20,30-39', 'b', '--json')
  const result = JSON.parse(stdout)
  t.match(result, { before: 1, version: 2, dryRun: false })
  t.same(
    result.changes.map(({ item, after }: { item: string; after: string }) => [item, after]),
    [
      ['0-9', 'b'],
      ['20-20', 'b'],
      ['30-39', 'b'],
    ],
  )
})

t.test('split moves nobody', async (t) => {
  const { tandem } = await demo()
  t.match((await tandem('map', 'split', '1024')).stdout, /^Version 2 is in force; 0 subscribers change owner/)
  t.match((await tandem('map', 'show')).stdout, /\n {2}0-1023 +a\n {2}1024-2047 +a\n/)
})

t.test('pin, unpin, diff and rollback', async (t) => {
  const { tandem } = await demo()
  t.match((await tandem('map', 'pin', 'alice', 'a')).stdout, /\npin +alice +- +a +1\n/)
  t.match(
    (await tandem('map', 'diff')).stdout,
    /\npin +alice +- +a +1\n\nFrom version 1 to 2, 1 subscriber changes owner\.\n$/,
  )
  await tandem('map', 'unpin', 'alice')
  t.equal((await tandem('map', 'diff', '1', '3')).stdout, 'Versions 1 and 3 are the same map.\n')
  t.match((await tandem('map', 'rollback', '2', '--dry-run')).stdout, /It would make version 4/)
  await tandem('map', 'rollback', '2')
  t.match((await tandem('map', 'show')).stdout, /^Map version 4: .* 1 pin\n/)
  const { changes } = JSON.parse((await tandem('map', 'diff', '3', '--json')).stdout)
  t.match(changes, [{ what: 'pin', item: 'alice', before: null, after: 'a', subscribers: 1 }])
  const rows = JSON.parse((await tandem('map', 'history', '--json')).stdout)
  t.same(
    rows.map(({ version }: { version: number }) => version),
    [4, 3, 2, 1],
  )
})

t.test('a group is added, drained and removed', async (t) => {
  const { tandem } = await demo()
  await tandem('map', 'add-group', 'c', '--master', 'c1=192.0.2.7:5071', '--slave', 'c2=[2001:db8::1]:5071')
  t.match((await tandem('map', 'show')).stdout, /\n {2}c +active +c1 +2 +0 +0 +0 /)
  await tandem('map', 'drain', 'b', '--into', 'c')
  t.match(
    (await tandem('map', 'show')).stdout,
    /\n {2}b +draining +b1 +2 +0 .*\n {2}c +active +c1 +2 +8,192 /,
  )
  await tandem('map', 'remove', 'b')
  t.notMatch((await tandem('map', 'show')).stdout, /\n {2}b /)
})

t.test('what the database refuses is one line with its reason, and changes nothing', async (t) => {
  const { tandem } = await demo()
  await t.rejects(tandem('map', 'set', '0-99', 'x'), {
    code: 'MAP_REFUSED',
    message: /group x, which does not exist/,
  })
  await t.rejects(tandem('map', 'remove', 'a'), {
    code: 'MAP_REFUSED',
    message: /cannot be removed: it owns/,
  })
  await t.rejects(tandem('map', 'unpin', 'alice'), { code: 'MAP_REFUSED', message: /alice is not pinned/ })
  await t.rejects(tandem('map', 'rollback', '99'), { code: 'MAP_REFUSED', message: /no version 99/ })
  t.match((await tandem('map', 'show')).stdout, /^Map version 1:/)
})

t.test('what is typed is checked before anything is asked of the database', async (t) => {
  t.same(slotRanges('0-2047,4711'), [
    { first: 0, last: 2047 },
    { first: 4711, last: 4711 },
  ])
  for (const wrong of ['', '-1', '5-4', '16384', '0-16384', 'a-b', '1,,2', '1-2-3', '1.5']) {
    t.throws(() => slotRanges(wrong), { code: 'USAGE' }, wrong)
  }
  t.same(member('c1=192.0.2.7:5071'), { node: 'c1', address: '192.0.2.7:5071' })
  for (const wrong of ['c1', 'c1=', '=192.0.2.7:5071', 'c1=host.example.com:5071', 'c1=192.0.2.7']) {
    t.throws(() => member(wrong), { code: 'USAGE' }, wrong)
  }
  const nobody = commandRunner('postgres://nobody@127.0.150.1:15559/x', addMapCommands)
  await t.rejects(nobody('map', 'set', '0-20000', 'a'), { code: 'USAGE', message: /'0-20000' is no range/ })
  await t.rejects(nobody('map', 'split', '1-2'), { code: 'USAGE' })
  await t.rejects(nobody('map', 'rollback', 'last'), { code: 'USAGE' })
  await t.rejects(nobody('map', 'history', '-n', '0'), { code: 'USAGE' })
})

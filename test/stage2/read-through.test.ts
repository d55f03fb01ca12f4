import t, { type Test } from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import type { Aor } from '../../stage2/directory.ts'
import { Location } from '../../stage2/location.ts'
import { ReadThrough } from '../../stage2/read-through.ts'
import { binding } from '../support/cluster.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { settled } from '../support/fake-transport.ts'

const BOB = { key: 'bob@example.com', user: 'bob', domain: 'example.com', identity: 'bob', slot: 0 } as Aor
const HOME = 'sip:bob@192.0.2.1'

function bench(t: Test, find: () => Promise<readonly BindingRow[]>, isAhead = () => false) {
  const clock = new FakeClock()
  const location = new Location()
  let asked = 0
  const readThrough = new ReadThrough({
    location,
    find: () => {
      asked++
      return find()
    },
    isAhead,
    clock,
  })
  t.teardown(() => readThrough.close())
  return { clock, location, readThrough, asked: () => asked }
}

t.test('what PostgreSQL has of a user is taken over, and asked for once', async (t) => {
  const now = new FakeClock().now()
  const { location, readThrough, asked, clock } = bench(t, async () => [binding(HOME, now)])
  await readThrough.fill(BOB)
  t.equal(location.find(BOB.key, now)[0]?.contact, HOME)
  await readThrough.fill(BOB)
  t.equal(asked(), 1, 'memory knows it')
  t.equal(clock.pending, 0)
})

t.test('a miss is remembered, a failure is not', async (t) => {
  let fails = true
  const { readThrough, asked } = bench(t, async () => {
    if (fails) throw new Error('gone')
    return []
  })
  await readThrough.fill(BOB)
  fails = false
  await readThrough.fill(BOB)
  await readThrough.fill(BOB)
  t.equal(asked(), 2)
})

t.test('nobody waits long, and what comes late is taken all the same', async (t) => {
  let answer: (rows: BindingRow[]) => void = () => {}
  const { clock, location, readThrough } = bench(t, () => new Promise((resolve) => (answer = resolve)))
  let isOver = false
  void readThrough.fill(BOB).then(() => (isOver = true))
  clock.advance(299)
  await settled()
  t.equal(isOver, false)
  clock.advance(1)
  await settled()
  t.equal(isOver, true)
  answer([binding(HOME, clock.now())])
  await settled()
  t.equal(location.size, 1)
})

t.test('while memory is ahead of PostgreSQL, it is not asked, nor believed', async (t) => {
  let isAhead = true
  const now = new FakeClock().now()
  const { location, readThrough, asked } = bench(
    t,
    async () => {
      isAhead = true
      return [binding(HOME, now)]
    },
    () => isAhead,
  )
  await readThrough.fill(BOB)
  t.equal(asked(), 0)
  isAhead = false
  await readThrough.fill(BOB)
  t.equal(asked(), 1)
  t.equal(location.size, 0)
})

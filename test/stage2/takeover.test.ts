import t from 'tap'
import { Takeover } from '../../stage2/takeover.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { settled } from '../support/fake-transport.ts'

/** A member whose refresh takes as long as the test wants. */
function quiet() {
  const clock = new FakeClock()
  const refreshes: { done(): void; fail(): void }[] = []
  const refresh = () =>
    new Promise<void>((resolve, reject) => {
      refreshes.push({ done: resolve, fail: () => reject(new Error('PostgreSQL is gone')) })
    })
  const takeover = new Takeover(clock, 1000, refresh)
  const served: string[] = []
  const ask = (name: string) => takeover.whenFresh(() => served.push(name))
  return { clock, refreshes, served, ask }
}

t.test('the first request waits for a refresh, and all behind it in their order', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  ask('a')
  ask('b')
  clock.advance(299)
  ask('c')
  t.strictSame(served, [])
  t.equal(refreshes.length, 1)
  refreshes[0]?.done()
  await settled()
  t.strictSame(served, ['a', 'b', 'c'])
  ask('d')
  t.strictSame(served, ['a', 'b', 'c', 'd'], 'from now on at once')
  t.equal(clock.pending, 0)
})

t.test('nobody waits longer than 300 ms', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  ask('a')
  clock.advance(300)
  t.strictSame(served, ['a'])
  refreshes[0]?.done()
  await settled()
  t.strictSame(served, ['a'], 'and is served once')
  t.equal(clock.pending, 0)
})

t.test('a refresh that fails lets them go: memory is what there is', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  ask('a')
  refreshes[0]?.fail()
  await settled()
  t.strictSame(served, ['a'])
  t.equal(clock.pending, 0)
})

t.test('who is asked all the time needs no refresh; who was silent for an interval does', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  ask('a')
  refreshes[0]?.done()
  await settled()
  clock.advance(999)
  ask('b')
  clock.advance(999)
  ask('c')
  t.strictSame(served, ['a', 'b', 'c'])
  t.equal(refreshes.length, 1)
  clock.advance(1000)
  ask('d')
  t.equal(refreshes.length, 2)
  t.strictSame(served, ['a', 'b', 'c'])
  refreshes[1]?.done()
  await settled()
  t.strictSame(served, ['a', 'b', 'c', 'd'])
  t.equal(clock.pending, 0)
})

t.test('the end of an older refresh does not let go who waits for a newer one', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  ask('a')
  clock.advance(300)
  clock.advance(1000)
  ask('b')
  refreshes[0]?.done()
  await settled()
  t.strictSame(served, ['a'])
  refreshes[1]?.done()
  await settled()
  t.strictSame(served, ['a', 'b'])
  t.equal(clock.pending, 0)
})

t.test('the crowd that waits is bounded', async (t) => {
  const { clock, refreshes, served, ask } = quiet()
  for (let i = 0; i < 10_001; i++) ask(String(i))
  t.strictSame(served, ['10000'])
  refreshes[0]?.done()
  await settled()
  t.equal(served.length, 10_001)
  t.equal(clock.pending, 0)
})

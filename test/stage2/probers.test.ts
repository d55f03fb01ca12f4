import t from 'tap'
import { Probers } from '../../stage2/probers.ts'
import { udp } from '../support/cluster.ts'
import { FakeClock } from '../support/fake-clock.ts'

const [ONE, OTHER] = [udp('192.0.2.60', 40_001), udp('192.0.2.61', 40_002)]

function probed(...by: readonly (typeof ONE)[]) {
  const clock = new FakeClock()
  const probers = new Probers(clock)
  for (const prober of by) probers.answered(prober)
  let isOver = false
  const tell = () => void probers.allTold(2_000).then(() => (isOver = true))
  const over = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return isOver
  }
  return { clock, probers, tell, over }
}

t.test('it waits until each of them has asked again', async (t) => {
  const { probers, tell, over } = probed(ONE, OTHER)
  tell()
  t.notOk(await over())
  probers.answered(ONE)
  probers.answered(ONE)
  t.notOk(await over(), 'the other has not')
  probers.answered(OTHER)
  t.ok(await over())
})

t.test('nobody who asks is nobody to wait for', async (t) => {
  const never = probed()
  never.tell()
  t.ok(await never.over())
  const gone = probed(ONE)
  gone.clock.advance(5_000)
  gone.tell()
  t.ok(await gone.over(), 'that one has gone')
})

t.test('it does not wait for ever', async (t) => {
  const { clock, tell, over } = probed(ONE)
  tell()
  clock.advance(1_999)
  t.notOk(await over())
  clock.advance(1)
  t.ok(await over())
  t.equal(clock.pending, 0)
})

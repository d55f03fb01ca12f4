import t from 'tap'
import { Repeater } from '../../stage1/repeater.ts'
import { FakeClock } from '../support/fake-clock.ts'

function repeaterOf() {
  const clock = new FakeClock()
  const repeater = new Repeater(clock)
  const sent: number[] = []
  const startMs = clock.monotonicMs()
  const repeat = (branch: string) => repeater.repeat(branch, () => sent.push(clock.monotonicMs() - startMs))
  return { clock, repeater, sent, repeat }
}

t.test('copies follow as RFC 3261 has them over UDP, and end', async (t) => {
  const { clock, repeater, sent, repeat } = repeaterOf()
  repeat('z9hG4bK1')
  clock.advance(60_000)
  t.strictSame(sent, [500, 1_500, 3_500, 7_500])
  t.equal(repeater.size, 0)
  t.equal(clock.pending, 0)
})

t.test('they end when something is heard', async (t) => {
  const { clock, repeater, sent, repeat } = repeaterOf()
  repeat('z9hG4bK1')
  repeat('z9hG4bK2')
  clock.advance(600)
  repeater.heard('z9hG4bK1')
  repeater.heard('z9hG4bKunknown')
  clock.advance(1_000)
  t.strictSame(sent, [500, 500, 1_500], 'of the other alone')
})

t.test('a copy of the client changes nothing; closing ends all', async (t) => {
  const { clock, repeater, sent, repeat } = repeaterOf()
  repeat('z9hG4bK1')
  repeat('z9hG4bK1')
  clock.advance(500)
  t.strictSame(sent, [500])
  repeater.close()
  clock.advance(60_000)
  t.strictSame(sent, [500])
  t.equal(clock.pending, 0)
})

t.test('what it remembers is bounded', async (t) => {
  const { repeater, repeat } = repeaterOf()
  for (let i = 0; i < 20_000; i++) repeat(`z9hG4bK${i}`)
  t.equal(repeater.size, 10_000)
  repeater.close()
})

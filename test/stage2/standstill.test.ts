import t from 'tap'
import { Standstill } from '../../stage2/standstill.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A clock whose timers come late. */
class StoppedClock extends FakeClock {
  stoodMs = 0

  override monotonicMs(): number {
    return super.monotonicMs() + this.stoodMs
  }
}

t.test('a process that did nothing for a second has stood still, and catches up for a moment', async (t) => {
  const clock = new StoppedClock()
  const standstill = new Standstill(clock)
  t.equal(standstill.isRecent, false, 'before it has begun to look')
  standstill.start()
  clock.advance(10_000)
  t.equal(standstill.isRecent, false)
  clock.stoodMs += 900
  t.equal(standstill.isRecent, false, 'a little late')
  clock.stoodMs += 1_000
  t.equal(standstill.isRecent, true, 'whoever asks first notices')
  clock.advance(800)
  t.equal(standstill.isRecent, true)
  clock.advance(200)
  t.equal(standstill.isRecent, false)
  clock.stoodMs += 3_000
  clock.advance(100)
  clock.advance(2_900)
  t.equal(standstill.isRecent, true, 'the timer notices, too; it takes as long to catch up as it stood')
  clock.advance(300)
  t.equal(standstill.isRecent, false)
  clock.stoodMs += 60_000
  clock.advance(100)
  clock.advance(5_200)
  t.equal(standstill.isRecent, false, 'but not for ever')
  standstill.stop()
  t.equal(clock.pending, 0)
})

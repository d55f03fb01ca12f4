import t from 'tap'
import { type TimeSource, WheelClock } from '../../src/ops/clock.ts'

/** Time in the test's hands, and the one wake-up that the wheel asks for. */
class Hands implements TimeSource {
  nowMs = 1_000_003
  #action: (() => void) | undefined

  monotonicMs(): number {
    return this.nowMs
  }

  wake(_delayMs: number, action: () => void): void {
    this.#action = action
  }

  get turning(): boolean {
    return this.#action !== undefined
  }

  advance(ms: number): void {
    for (const untilMs = this.nowMs + ms; this.nowMs < untilMs; ) {
      this.nowMs = Math.min(this.nowMs + 10, untilMs)
      this.wakeNow()
    }
  }

  wakeNow(): void {
    const action = this.#action
    this.#action = undefined
    action?.()
  }
}

t.test('a timer fires once, never early, and at most two ticks late', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  for (const delayMs of [0, 1, 9, 10, 11, 200, 500, 32_000, 40_960, 41_000, 181_000, 3_600_000]) {
    const startMs = hands.nowMs
    let firedMs = 0
    clock.schedule(delayMs, () => {
      t.equal(firedMs, 0)
      firedMs = hands.nowMs - startMs
    })
    hands.advance(delayMs + 40)
    t.ok(firedMs >= delayMs && firedMs <= delayMs + 20, `${delayMs} ms: after ${firedMs}`)
  }
  t.equal(clock.pending, 0)
  t.notOk(hands.turning, 'the wheel stands still without timers')
})

t.test('in the order in which they fall due; equal ones in the order in which they were set', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  const fired: string[] = []
  for (const delayMs of [500, 30, 200, 30])
    clock.schedule(delayMs, () => fired.push(`${delayMs}#${fired.length}`))
  hands.advance(600)
  t.strictSame(fired, ['30#0', '30#1', '200#2', '500#3'])
})

t.test('a cancelled timer does not fire, whoever cancels it', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  const fired: string[] = []
  const second = { cancel: () => {} }
  clock.schedule(100, () => {
    fired.push('first')
    second.cancel()
  })
  Object.assign(second, { cancel: () => due.cancel() })
  const due = clock.schedule(100, () => fired.push('second'))
  const early = clock.schedule(100, () => fired.push('third'))
  early.cancel()
  early.cancel()
  hands.advance(200)
  t.strictSame(fired, ['first'])
  t.equal(clock.pending, 0)
  due.cancel()
  t.equal(clock.pending, 0)
})

t.test('a timer set by a timer fires in its own time', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  let ticks = 0
  const again = () => {
    ticks++
    if (ticks < 5) clock.schedule(0, again)
  }
  clock.schedule(0, again)
  hands.advance(20)
  t.ok(ticks <= 2, 'and does not hold up the wheel')
  hands.advance(200)
  t.equal(ticks, 5)
})

t.test('after a long stall everything that is due fires, and nothing else', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  const fired: number[] = []
  for (const delayMs of [10, 5000, 60_000, 90_000, 200_000])
    clock.schedule(delayMs, () => fired.push(delayMs))
  hands.nowMs += 100_000
  hands.wakeNow()
  t.strictSame(
    fired.sort((a, b) => a - b),
    [10, 5000, 60_000, 90_000],
  )
  hands.advance(100_020)
  t.equal(fired.length, 5)
})

t.test('an action that throws does not stop the wheel', async (t) => {
  const hands = new Hands()
  const clock = new WheelClock(hands)
  let fired = false
  clock.schedule(10, () => {
    throw new Error('bug')
  })
  clock.schedule(10, () => {
    fired = true
  })
  t.throws(() => hands.advance(30), { message: 'bug' })
  hands.advance(30)
  t.ok(fired)
  t.equal(clock.pending, 0)
})

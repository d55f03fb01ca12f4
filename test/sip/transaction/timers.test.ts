import t from 'tap'
import { defaultTimerValues, timerDurations } from '../../../src/sip/transaction/timers.ts'

const seconds = (invite: boolean, reliable: boolean) =>
  Object.fromEntries(
    Object.entries(timerDurations(defaultTimerValues, invite, reliable)).map(([name, ms]) => [
      name,
      ms / 1000,
    ]),
  )

t.test('RFC 3261 table 4 and RFC 6026, over UDP', async (t) => {
  t.strictSame(seconds(true, false), {
    ...{ A: 0.5, B: 32, C: 181, D: 32, E: 0.5, F: 32, G: 0.5, H: 32, I: 5, J: 32, K: 5, L: 32, M: 32 },
    ...{ Trying: 0.2, Expiry: 32, Cancel: 32 },
  })
})

t.test('nothing is repeated over a reliable transport, so nothing is waited for', async (t) => {
  const never = Number.POSITIVE_INFINITY
  t.strictSame(seconds(true, true), {
    ...{ A: never, B: 32, C: 181, D: 0, E: never, F: 32, G: never, H: 32, I: 0, J: 0, K: 0, L: 32, M: 32 },
    ...{ Trying: 0.2, Expiry: 32, Cancel: 32 },
  })
})

t.test('RFC 4320 §4.1: a 100 to a non-INVITE is due when Timer E reaches T2', async (t) => {
  t.equal(seconds(false, false).Trying, 3.5, '0.5 + 1 + 2')
  t.equal(timerDurations({ ...defaultTimerValues, t1Ms: 1000, t2Ms: 5000 }, false, false).Trying, 7000)
})

t.test('Timer D is at least 32 s, however short T1 is (§17.1.1.2)', async (t) => {
  t.equal(timerDurations({ ...defaultTimerValues, t1Ms: 10 }, true, false).D, 32_000)
  t.equal(timerDurations({ ...defaultTimerValues, t1Ms: 1000 }, true, false).D, 64_000)
})

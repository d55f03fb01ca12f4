import t from 'tap'
import { parseRetryAfter } from '../../src/sip/retry-after.ts'

t.test('delay, comment, duration (RFC 3261 20.33)', async (t) => {
  t.same(parseRetryAfter('18000;duration=3600'), { delaySec: 18_000, durationSec: 3600 })
  t.same(parseRetryAfter("120 (I'm in a meeting)"), { delaySec: 120, durationSec: undefined })
  t.same(parseRetryAfter('5 (a \\) b) ; duration=1'), { delaySec: 5, durationSec: 1 })
  for (const bad of ['', 'soon', '-1', '949302838503028349304023988', '5 (open'])
    t.equal(parseRetryAfter(bad), undefined, bad)
})

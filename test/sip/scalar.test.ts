import t from 'tap'
import { parseContentLength, parseDeltaSeconds, parseMaxForwards } from '../../src/sip/scalar.ts'

t.test('numbers within their bounds; undefined counts as absent', async (t) => {
  t.equal(parseDeltaSeconds('3600'), 3600)
  t.equal(parseDeltaSeconds('4294967295'), 4294967295)
  t.equal(parseDeltaSeconds('4294967296'), undefined)
  t.equal(parseDeltaSeconds('1'.repeat(100)), undefined)
  t.equal(parseMaxForwards('0068'), 68)
  t.equal(parseMaxForwards('255'), 255)
  t.equal(parseMaxForwards('300'), undefined)
  t.equal(parseContentLength('0'), 0)
  for (const bad of ['', '-999', '1.5', '0x10', '1 2', 'many']) {
    t.equal(parseContentLength(bad), undefined, bad)
    t.equal(parseDeltaSeconds(bad), undefined, bad)
    t.equal(parseMaxForwards(bad), undefined, bad)
  }
})

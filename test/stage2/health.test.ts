import t from 'tap'
import { Health } from '../../stage2/health.ts'

t.test('all that is lacking is said in one line, and each change once', async (t) => {
  const heard: (string | undefined)[] = []
  const health = new Health((reason) => heard.push(reason))
  t.equal(health.reason, undefined)
  health.set('writing', 'no writing')
  health.set('writing', 'no writing')
  health.set('reading', 'no reading')
  t.equal(health.reasonOf('reading'), 'no reading')
  health.set('writing', undefined)
  health.set('spool', undefined)
  health.set('reading', undefined)
  t.strictSame(heard, ['no writing', 'no writing; no reading', 'no reading', undefined])
})

import t from 'tap'
import { reasonPhrase } from '../../src/sip/status.ts'

t.test('a phrase for every code', async (t) => {
  t.equal(reasonPhrase(200), 'OK')
  t.equal(reasonPhrase(439), 'First Hop Lacks Outbound Support')
  t.equal(reasonPhrase(499), 'Bad Request', 'an unknown code means its class')
  for (let status = 100; status < 700; status += 10) t.match(reasonPhrase(status), /^[A-Z]/, String(status))
})

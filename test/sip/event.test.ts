import t from 'tap'
import { parseEvent } from '../../src/sip/event.ts'

t.test('package and id', async (t) => {
  t.same(parseEvent('Presence.winfo;id=7'), { package: 'presence.winfo', id: '7' })
  t.same(parseEvent(' reg '), { package: 'reg', id: undefined })
  for (const bad of ['', ';id=1', 'a b']) t.equal(parseEvent(bad), undefined, bad)
})

import t from 'tap'
import { MemberLog } from '../../stage1/member-log.ts'
import type { MemberNews } from '../../stage1/worker-messages.ts'

t.test('what several workers notice is said once, with the first one’s reason', async (t) => {
  const lines: string[] = []
  const line = (level: string) => (_: object, text: string) => lines.push(`${level} ${text}`)
  const log = new MemberLog({ info: line('info'), warn: line('warn') } as never)
  const note = (state: MemberNews['state'], reason: string, address = '10.0.0.11:5071') =>
    log.note({ type: 'member', member: 'a1', group: 'a', address, state, reason })
  note('up', 'answers probes')
  note('up', 'answers probes')
  note('down', 'connection refused')
  note('down', '2 probes unanswered')
  note('down', 'connection refused', '10.0.0.99:5071')
  note('up', 'answers probes')
  t.same(lines, [
    'info member a1 is up: answers probes',
    'warn member a1 is down: connection refused',
    'warn member a1 is down: connection refused',
    'info member a1 is up: answers probes',
  ])
})

import t from 'tap'
import { hideSecrets } from '../../src/ops/secrets.ts'

t.test('passwords in URLs', async (t) => {
  for (const [text, shown] of [
    ['postgres://u:p@h:5432/x', 'postgres://u:***@h:5432/x'],
    ['postgres://u:p:q@h/x', 'postgres://u:***@h/x'],
    ['postgres://u:p@q@h/x', 'postgres://u:***@h/x'],
    ['postgres://:p@h/x', 'postgres://:***@h/x'],
    ['two: a://u:p@h b://v:q@i/', 'two: a://u:***@h b://v:***@i/'],
    [
      'postgres://h/x?user=u&password=p&sslmode=require',
      'postgres://h/x?user=u&password=***&sslmode=require',
    ],
    ['postgres://u:***@h/x', 'postgres://u:***@h/x'],
  ] as const) {
    t.equal(hideSecrets(text), shown)
  }
})

t.test('all else stays', async (t) => {
  for (const text of ['postgres://u@h:5432/x', 'http://h:80/a@b', 'sip:alice@example.com', 'a: b@c', '']) {
    t.equal(hideSecrets(text), text)
  }
})

import t from 'tap'
import { detach } from '../../src/sip/detach.ts'

t.test('the same text, whatever it is', async (t) => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte))
  for (const text of [
    '',
    'a',
    'twelve chars',
    'thirteen char',
    all,
    'müller ☎ beyond latin1',
    '\ud83d\ude00'.repeat(9),
  ]) {
    t.equal(detach(text), text)
    t.equal(detach(`<<${text}>>`.slice(2, -2)), text)
  }
})

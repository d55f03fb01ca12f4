import t from 'tap'
import { formatHostPort, parseHostPort } from '../../src/ops/host-port.ts'

t.test('what is an address and a port', async (t) => {
  for (const [text, address, port] of [
    ['192.0.2.1:5060', '192.0.2.1', 5060],
    [' 192.0.2.1:0 ', '192.0.2.1', 0],
    ['[2001:db8::1]:65535', '2001:db8::1', 65535],
    ['[::ffff:192.0.2.1]:5060', '::ffff:192.0.2.1', 5060],
  ] as const) {
    const parsed = parseHostPort(text)
    t.same(parsed, { address, port })
    t.equal(parsed && formatHostPort(parsed), text.trim())
  }
})

t.test('what is not', async (t) => {
  for (const text of [
    '',
    ':5060',
    '192.0.2.1',
    '192.0.2.1:',
    '192.0.2.1:65536',
    '192.0.2.1:-1',
    '192.0.2.1:5060x',
    '192.0.2:5060',
    'localhost:5060',
    '::1:5060',
    '[::1]',
    '[::1]5060',
    '[192.0.2.1]:5060',
    '[::g]:1',
    '[[::1]]:1',
  ]) {
    t.equal(parseHostPort(text), undefined, text)
  }
})

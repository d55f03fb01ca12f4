import t from 'tap'
import { parseCSeq } from '../../src/sip/cseq.ts'

t.test('number and method', async (t) => {
  t.same(parseCSeq('8 INVITE'), { number: 8, method: 'INVITE' })
  t.same(parseCSeq('0009\r\n  INVITE'), { number: 9, method: 'INVITE' })
  t.same(parseCSeq(' 29344 \tRE%47IST%45R '), { number: 29344, method: 'RE%47IST%45R' })
  t.same(parseCSeq('2147483647 ACK'), { number: 2147483647, method: 'ACK' })
})

t.test('malformed or out of range', async (t) => {
  const bad = [
    '',
    'INVITE',
    '8',
    '8INVITE',
    '8 ',
    '-1 INVITE',
    '2147483648 ACK',
    '36893488147419103232 REGISTER',
    '1 A B',
    '1 A,',
    '1.5 A',
  ]
  for (const text of bad) t.equal(parseCSeq(text), undefined, text)
})

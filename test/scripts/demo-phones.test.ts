import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DEMO_PHONES, writeDemoPhones } from '../../scripts/demo-phones.ts'

t.test('a folder for each phone', async (t) => {
  const folder = t.testdir({})
  writeDemoPhones(folder, { address: '192.0.2.1', port: 5060 })
  for (const user of DEMO_PHONES) {
    const read = (file: string) => readFileSync(join(folder, user, file), 'utf8')
    t.equal(
      read('accounts'),
      `<sip:${user}@example.com>;auth_pass=${user}-secret;outbound="sip:192.0.2.1:5060";answermode=auto\n`,
    )
    t.match(read('config'), /^net_interface 127\.0\.0\.1$/m)
    t.match(read('config'), /^audio_source (?:ausine,440|aubridge,quiet)$/m)
  }
})

t.test('IPv6, and again over what is there', async (t) => {
  const folder = t.testdir({})
  writeDemoPhones(folder, { address: '192.0.2.1', port: 5060 })
  writeDemoPhones(folder, { address: '2001:db8::1', port: 5062 })
  t.match(readFileSync(join(folder, 'bob', 'accounts'), 'utf8'), /outbound="sip:\[2001:db8::1\]:5062"/)
  t.match(readFileSync(join(folder, 'bob', 'config'), 'utf8'), /^net_interface ::1$/m)
})

import { isIPv6 } from 'node:net'
import t from 'tap'
import { canonicalIpv6, formatHostPort, ipv4Value, isUnroutable, parseHost } from '../../src/sip/host.ts'

t.test('RFC 5952 form', async (t) => {
  const cases: [string, string][] = [
    ['2001:0DB8:0:0:0:0:9:1', '2001:db8::9:1'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1::', '1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::FFFF:192.0.2.10', '::ffff:192.0.2.10'],
    ['::ffff:c000:20a', '::ffff:192.0.2.10'],
    ['2001:db8::192.0.2.1', '2001:db8::c000:201'],
    ['2001:db8:::192.0.2.1', '2001:db8::c000:201'],
  ]
  for (const [text, form] of cases) {
    t.equal(canonicalIpv6(text), form, text)
    t.equal(canonicalIpv6(form), form, 'stable')
    t.ok(isIPv6(form))
  }
})

t.test('what is no IPv6 address', async (t) => {
  const bad = [
    '',
    ':',
    '1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    ':1::',
    '12345::',
    'g::',
    '::1.2.3',
    '::256.1.1.1',
    '1.2.3.4::',
    '::::',
    '1:2:3:4:5:6:7:1.2.3.4',
    'fe80::1%eth0',
  ]
  for (const text of bad) t.equal(canonicalIpv6(text), undefined, text)
})

t.test('hosts', async (t) => {
  t.equal(parseHost('[2001:DB8::1]'), '2001:db8::1')
  t.equal(parseHost('Example.COM'), 'example.com')
  t.equal(parseHost('192.0.2.1'), '192.0.2.1')
  for (const bad of ['', 'a b', 'a:5', '[::1]:5', '[::1', '[]', '::1', '.a'])
    t.equal(parseHost(bad), undefined, bad)
  t.equal(formatHostPort('::1', 5060), '[::1]:5060')
  t.equal(formatHostPort('a', 0), 'a')
})

t.test('IPv4', async (t) => {
  t.equal(ipv4Value('192.0.2.1'), 0xc0000201)
  t.equal(ipv4Value('255.255.255.255'), 0xffffffff)
  for (const bad of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1..2.3',
    '256.1.1.1',
    'a.b.c.d',
    '1.2.3.',
    '.1.2.3',
    '1.2.3.4 ',
  ])
    t.equal(ipv4Value(bad), -1, bad)
})

t.test('where nothing may be sent', async (t) => {
  for (const bad of ['0.0.0.0', '224.0.0.1', '255.255.255.255', '240.1.1.1', '::', 'ff02::1'])
    t.ok(isUnroutable(bad), bad)
  for (const good of [
    '127.0.0.1',
    '192.0.2.1',
    '::1',
    'fe80::1',
    'ff.example.com',
    '3com.example',
    '223.255.255.255',
  ]) {
    t.notOk(isUnroutable(good), good)
  }
})

t.test('the table of known addresses is bounded and changes nothing', async (t) => {
  for (let i = 0; i < 10_000; i++) canonicalIpv6(`2001:db8:0:0:0:0:${i.toString(16)}:1`)
  t.equal(canonicalIpv6('2001:DB8:0::1'), '2001:db8::1')
})

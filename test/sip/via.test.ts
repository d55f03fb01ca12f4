import t from 'tap'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { parseMessage } from '../../src/sip/message.ts'
import { Rewrite } from '../../src/sip/rewrite.ts'
import { formatVia, parseVia, responseTarget, type Via, viaFor } from '../../src/sip/via.ts'

function via(text: string): Via {
  const parsed = parseVia(text)
  if (parsed === undefined) throw new Error(`not a Via: ${text}`)
  return parsed
}

const source: Endpoint = { transport: 'udp', address: '192.0.2.9', port: 40_000 }

t.test('all of a Via', async (t) => {
  const value = via(
    'SIP/2.0/UDP pc33.Atlanta.com:5066;branch=z9hG4bK776;rport=99;received=192.0.2.1;maddr=224.2.0.1;ttl=16;x=y',
  )
  t.match(value, {
    transport: 'udp',
    host: 'pc33.atlanta.com',
    port: 5066,
    branch: 'z9hG4bK776',
    hasMagicCookie: true,
  })
  t.match(value, { hasRport: true, rport: 99, received: '192.0.2.1', maddr: '224.2.0.1', ttl: 16 })
  t.equal(value.param('x'), 'y')
  t.equal(value.sentBy, 'pc33.atlanta.com:5066')
})

t.test('a bare one', async (t) => {
  const value = via('SIP/2.0/TLS iftgw.example.com')
  t.match(value, {
    transport: 'tls',
    port: 0,
    branch: '',
    hasMagicCookie: false,
    hasRport: false,
    rport: 0,
    params: '',
  })
  t.match([value.received, value.maddr, value.ttl], [undefined, undefined, undefined])
  t.equal(value.sentBy, 'iftgw.example.com:5061')
})

t.test('white space anywhere, folded, and up to a comma (RFC 4475 3.1.1.1)', async (t) => {
  const text =
    ' SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239'
  const first = via(text)
  t.match(first, { transport: 'tcp', host: 'spindle.example.com', branch: 'z9hG4bK9ikj8' })
  t.equal(first.text, 'SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8')
  t.match(parseVia(text, text.indexOf(',') + 1), { host: '192.168.255.111', branch: 'z9hG4bK30239' })
  t.match(via('SIP/2.0/UDP h : 5070 ;branch = x'), { port: 5070, branch: 'x' })
})

t.test('IPv6, with and without brackets in received (RFC 5118 4.5)', async (t) => {
  const bare = via('SIP/2.0/UDP [2001:DB8::9:1]:6050;received=2001:db8::9:255;branch=z9hG4bKas3')
  const bracketed = via('SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3')
  t.match(bare, { host: '2001:db8::9:1', port: 6050, received: '2001:db8::9:255' })
  t.match(bracketed, { host: '2001:db8::9:1', port: 0, received: '2001:db8::9:255' })
  t.equal(bare.sentBy, '[2001:db8::9:1]:6050')
  t.equal(via('SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19').host, '::ffff:192.0.2.10')
})

t.test('transports and versions that are none of ours parse', async (t) => {
  t.equal(via('SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en').transport, 'unknown')
  t.equal(via('SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw').transport, 'udp')
})

t.test('branch and rport without value', async (t) => {
  t.equal(via('SIP/2.0/UDP h;branch').branch, '')
  t.equal(via('  SIP/2.0/UDP h;branch;x=y').branch, '')
  t.match(via('SIP/2.0/UDP h;rport'), { hasRport: true, rport: 0 })
  t.match(via('SIP/2.0/UDP h;rport='), { hasRport: true, rport: 0 })
  t.match(via('SIP/2.0/UDP h;rport=99999'), { hasRport: true, rport: 0 })
  t.match(via('SIP/2.0/UDP h;received').received, undefined)
})

t.test('malformed Vias', async (t) => {
  const bad = [
    ...[
      '',
      'SIP',
      'SIP/2.0',
      'SIP/2.0/UDP',
      'SIP/2.0/UDP ',
      'SIP/2.0/UDP;branch=x',
      'SIP/2.0 UDP h',
      'SIP/2.0/UDPh',
      '/2.0/UDP h',
      'SIP//UDP h',
    ],
    ...[
      'SIP/2.0/UDP 192.0.2.15;;,;,,',
      'SIP/2.0/UDP h:',
      'SIP/2.0/UDP h:0',
      'SIP/2.0/UDP h:65536',
      'SIP/2.0/UDP h:5x',
      'SIP/2.0/UDP h x',
    ],
    ...[
      'SIP/2.0/UDP [::1',
      'SIP/2.0/UDP [xyz]',
      'SIP/2.0/UDP 2001:db8::1',
      'SIP/2.0/UDP h;a="x',
      'SIP/2.0/UDP h;=x',
    ],
    ...[
      'SIP/2.0/UDP h;branch=a;branch=b',
      'SIP/2.0/UDP h;received=1.1.1.1;received=2.2.2.2',
      'SIP/2.0/UDP h;rport;rport=1',
    ],
  ]
  for (const text of bad) t.equal(parseVia(text), undefined, JSON.stringify(text))
})

t.test('what a server adds on receipt (RFC 3261 18.2.1, RFC 3581 4)', async (t) => {
  const seen = (text: string) => viaFor(via(text), source)
  const v = 'SIP/2.0/UDP'
  t.equal(seen(`${v} 192.0.2.9:5070;branch=z`), undefined, 'nothing where the source is the sent-by')
  t.equal(seen(`${v} 192.0.2.1;branch=z`), `${v} 192.0.2.1;branch=z;received=192.0.2.9`)
  t.equal(seen(`${v} host.example.com;branch=z`), `${v} host.example.com;branch=z;received=192.0.2.9`)
  t.equal(seen(`${v} 192.0.2.9;rport;branch=z`), `${v} 192.0.2.9;rport=40000;branch=z;received=192.0.2.9`)
  t.equal(seen(`${v} 192.0.2.1;branch=z;rport`), `${v} 192.0.2.1;branch=z;rport=40000;received=192.0.2.9`)
  t.equal(seen(`${v} h;received=192.0.2.9;rport=40000`), undefined, 'nothing where all is said')
})

t.test('what the client itself says of its address is overwritten', async (t) => {
  const seen = (text: string) => viaFor(via(text), source)
  const v = 'SIP/2.0/UDP'
  t.equal(seen(`${v} h;received=9.9.9.9;branch=z`), `${v} h;branch=z;received=192.0.2.9`)
  t.equal(seen(`${v} 192.0.2.9;branch=z;received=9.9.9.9`), `${v} 192.0.2.9;branch=z`)
  t.equal(
    seen(`${v} h;rport=1;branch=z;received=9.9.9.9;x`),
    `${v} h;rport=40000;branch=z;x;received=192.0.2.9`,
  )
  t.equal(seen(`${v} h;received=9.9.9.9;branch=z;rport=1`), `${v} h;branch=z;rport=40000;received=192.0.2.9`)
})

t.test('received is written without brackets', async (t) => {
  const six: Endpoint = { transport: 'udp', address: '2001:db8::9:255', port: 5060 }
  const old = via('SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:200];branch=z')
  t.equal(viaFor(old, six), 'SIP/2.0/UDP [2001:db8::9:1];branch=z;received=2001:db8::9:255')
  t.equal(viaFor(via('SIP/2.0/UDP [2001:DB8:0::9:255];branch=z'), six), undefined)
})

t.test('it is an edit of the first value of the first line only', async (t) => {
  const text =
    'OPTIONS sip:a@b SIP/2.0\r\nMax-Forwards: 7\r\nv: SIP/2.0/UDP h;branch=1, SIP/2.0/UDP i\r\nVia: SIP/2.0/UDP j\r\n\r\n'
  const message = parseMessage(text)
  const edit = message?.topVia && viaFor(message.topVia, source)
  if (message === undefined || edit === undefined) throw new Error('nothing to edit')
  t.equal(
    new Rewrite(message).replaceFirst(H.via, edit).toString(),
    text.replace('branch=1', 'branch=1;received=192.0.2.9'),
  )
})

t.test('where a response goes (RFC 3261 18.2.2, RFC 3581 4)', async (t) => {
  const to = (text: string) => responseTarget(via(text))
  t.same(to('SIP/2.0/UDP h:5070;branch=z'), { transport: 'udp', address: 'h', port: 5070 })
  t.same(to('SIP/2.0/UDP h'), { transport: 'udp', address: 'h', port: 5060 })
  t.same(to('SIP/2.0/TLS h'), { transport: 'tls', address: 'h', port: 5061 })
  t.same(to('SIP/2.0/UDP h:5070;received=192.0.2.1'), { transport: 'udp', address: '192.0.2.1', port: 5070 })
  t.same(to('SIP/2.0/UDP h:5070;received=192.0.2.1;rport=99'), {
    transport: 'udp',
    address: '192.0.2.1',
    port: 99,
  })
  t.same(to('SIP/2.0/TCP h:5070;received=192.0.2.1;rport=99'), {
    transport: 'tcp',
    address: '192.0.2.1',
    port: 5070,
  })
  t.same(
    to('SIP/2.0/UDP h:5070;rport=99'),
    { transport: 'udp', address: 'h', port: 5070 },
    'rport means nothing alone',
  )
  t.same(to('SIP/2.0/UDP h:5070;maddr=192.0.2.7'), { transport: 'udp', address: '192.0.2.7', port: 5070 })
  t.same(to('SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]'), {
    transport: 'udp',
    address: '2001:db8::9:255',
    port: 5060,
  })
  for (const nowhere of [
    'UDP 255.255.255.255',
    'UDP h;maddr=224.0.1.75',
    'UDP 0.0.0.0',
    'UDP [ff02::1]',
    'SCTP h',
    'UDP h;received=240.0.0.1',
  ]) {
    t.equal(to(`SIP/2.0/${nowhere}`), undefined, nowhere)
  }
})

t.test('a Via of our own', async (t) => {
  t.equal(
    formatVia({ transport: 'tcp', address: '::1', port: 5060 }, 'z9hG4bKx', ';map=7'),
    'SIP/2.0/TCP [::1]:5060;branch=z9hG4bKx;map=7',
  )
  t.ok(parseVia(formatVia(source, 'z9hG4bKx')))
})

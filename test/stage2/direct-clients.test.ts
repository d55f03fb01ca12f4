import { pino } from 'pino'
import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { DirectClients } from '../../stage2/direct-clients.ts'
import { Member, type MemberParts } from '../../stage2/member.ts'
import { binding, edgeInside, here, testCluster, udp } from '../support/cluster.ts'
import { batchOf } from '../support/fake-transport.ts'
import { MemberBench } from '../support/member-bench.ts'

t.test('by networks and addresses of both versions of IP', async (t) => {
  const clients = new DirectClients(['192.0.2.0/24', '198.51.100.7', '2001:db8:5::/48', '2001:db8::7'])
  for (const address of ['192.0.2.1', '192.0.2.255', '198.51.100.7', '2001:db8:5:9::1', '2001:db8::7'])
    t.ok(clients.has({ address }), address)
  for (const address of ['192.0.3.1', '198.51.100.8', '2001:db8:6::1', '2001:db8::8', ''])
    t.notOk(clients.has({ address }), address)
  t.notOk(new DirectClients([]).has({ address: '192.0.2.1' }))
})

t.test('what only our own side may say is not heard from them', async (t) => {
  const read = (...lines: string[]) => {
    const message = parseMessage(
      ['REGISTER sip:example.com SIP/2.0', 'Call-ID: 1', ...lines, '', 'body'].join('\r\n'),
    )
    if (!message) throw new Error('no message')
    return message
  }
  const plain = read('X: y')
  t.equal(DirectClients.heard(plain), plain, 'nothing is done where nothing is to be done')
  const heard = DirectClients.heard(
    read(
      'Path: <sip:a>',
      'path: <sip:b>',
      'X: y',
      'Route: <sip:c;lr>',
      'P-Asserted-Identity: <sip:boss@example.com>',
    ),
  )
  t.equal(heard.text, plain.text)
  t.equal(heard.value(H.callId), '1')
})

t.test('a member hears them, without what they may not say, and nobody else', async (t) => {
  const heard: string[] = []
  const member = new Member({
    cluster: () => testCluster(),
    directClients: new DirectClients(['198.51.100.0/24']),
    log: pino({ level: 'silent' }),
  })
  member.attach({
    layer: { receive: ({ text }: Message) => heard.push(text) },
    takeover: { whenFresh: (serve: () => void) => serve() },
    transport: { local: here },
  } as unknown as MemberParts)
  member.state = 'serving'
  const request = (via: string, path = '') =>
    `MESSAGE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP ${via};branch=z9hG4bK1\r\n${path}From: <sip:a@example.com>;tag=1\r\n` +
    'To: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n'
  const PATH = 'Path: <sip:192.0.2.60:5160;lr>\r\n'
  const receive = (address: string) => member.receive(batchOf(udp(address), request(address, PATH)))
  receive('198.51.100.7')
  receive(edgeInside.address)
  receive('203.0.113.7')
  t.strictSame(heard, [request('198.51.100.7'), request(edgeInside.address, PATH)])
  t.equal(member.counters.untrusted, 1)
  t.notOk(member.trusts(udp('198.51.100.7')), 'transactions are told apart by where they come from')
})

t.test('a member serves the URI that a redirection gives', async (t) => {
  const bench = new MemberBench()
  bench.takeover.whenFresh(() => {})
  bench.location.adopt(binding('sip:bob@10.0.0.1', bench.clock.now(), { path: ['<sip:192.0.2.60:5160;lr>'] }))
  await bench.receive(
    'INVITE sip:bob@example.com:5071;transport=udp;maddr=192.0.2.71 SIP/2.0\r\n' +
      'Via: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKredirected\r\nMax-Forwards: 70\r\nCSeq: 1 INVITE\r\n' +
      'From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n',
  )
  t.match(
    bench.take().map(({ text }) => text.split('\r\n', 1)[0]),
    ['SIP/2.0 100 Trying', 'INVITE sip:bob@10.0.0.1 SIP/2.0'],
  )
})

import t from 'tap'
import { numericTarget } from '../../src/net/resolve.ts'
import { parseUri } from '../../src/sip/uri.ts'

function target(text: string): string | undefined {
  const uri = parseUri(text)
  if (!uri) throw new Error(`no URI: ${text}`)
  const to = numericTarget(uri)
  return to && `${to.transport} ${to.address} ${to.port}`
}

t.test('a numeric host leads there, by the transport and port it names or implies', async (t) => {
  t.equal(target('sip:bob@192.0.2.1'), 'udp 192.0.2.1 5060')
  t.equal(target('sip:192.0.2.1:5070'), 'udp 192.0.2.1 5070')
  t.equal(target('sip:bob@[2001:DB8::1]:5070'), 'udp 2001:db8::1 5070')
  t.equal(target('sip:bob@192.0.2.1;transport=TCP'), 'tcp 192.0.2.1 5060')
  t.equal(target('sip:bob@192.0.2.1;transport=tls'), 'tls 192.0.2.1 5061')
  t.equal(target('sip:bob@192.0.2.1;transport=ws'), 'ws 192.0.2.1 80')
  t.equal(target('sip:bob@192.0.2.1;transport=sctp'), undefined)
})

t.test('sips is TLS, over whatever it names', async (t) => {
  t.equal(target('sips:bob@192.0.2.1'), 'tls 192.0.2.1 5061')
  t.equal(target('sips:bob@192.0.2.1:5071;transport=tcp'), 'tls 192.0.2.1 5071')
  t.equal(target('sips:bob@192.0.2.1;transport=ws'), 'wss 192.0.2.1 443')
  t.equal(target('sips:bob@192.0.2.1;transport=udp'), undefined)
})

t.test('maddr goes before the host', async (t) => {
  t.equal(target('sip:bob@example.com;maddr=192.0.2.1'), 'udp 192.0.2.1 5060')
  t.equal(target('sip:bob@192.0.2.1;maddr=[2001:db8::2]'), 'udp 2001:db8::2 5060')
  t.equal(target('sip:bob@192.0.2.1;maddr=example.com'), undefined)
})

t.test('names, and where nothing may be sent', async (t) => {
  for (const host of [
    'example.com',
    '1.2.3',
    '1.2.3.4.5',
    '0.0.0.0',
    '255.255.255.255',
    '224.0.1.75',
    '[::]',
    '[ff02::1]',
  ])
    t.equal(target(`sip:bob@${host}`), undefined, host)
  t.equal(target('tel:+15551234'), undefined)
  t.equal(target('mailto:bob'), undefined)
})

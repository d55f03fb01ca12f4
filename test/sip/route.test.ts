import t from 'tap'
import { nextHopOf, parseRoute, parseRoutes } from '../../src/sip/route.ts'
import { parseUri } from '../../src/sip/uri.ts'

t.test('loose and strict', async (t) => {
  t.equal(parseRoute('<sip:services.example.com;lr;unknownwith=value;unknown-no-value>')?.isLoose, true)
  t.equal(parseRoute('<sip:p1.example.com;LR=on>')?.isLoose, true)
  t.equal(parseRoute('<sip:UserB@example.com;maddr=ss1.example.com>')?.isLoose, false)
  t.equal(parseRoute('<sip:p1.example.com>;lr')?.isLoose, false, "a header parameter is not the URI's")
  t.equal(parseRoute('"edge" <sip:token@[::1]:5060;lr;ob>;x=1')?.params, ';x=1')
})

t.test('malformed routes', async (t) => {
  for (const bad of [
    '',
    'sip:p1.example.com;lr',
    '<sip:>',
    '<tel:112>',
    '<sip:a@b',
    '<http://a>',
    '<sip:a;lr>, <sip:b;lr>',
  ]) {
    t.equal(parseRoute(bad), undefined, bad)
  }
})

t.test('a route set is good or bad as a whole', async (t) => {
  t.equal(parseRoutes(['<sip:a;lr>', '<sip:b;lr>'])?.length, 2)
  t.equal(parseRoutes(['<sip:a;lr>', 'b']), undefined)
})

t.test('what RFC 3263 starts from', async (t) => {
  const hop = (text: string) => {
    const uri = parseUri(text)
    return uri && nextHopOf(uri)
  }
  t.same(hop('sip:a@B.com'), { host: 'b.com', port: 0, transport: undefined, isSecure: false })
  t.same(hop('sips:a@b.com:5071;transport=TCP'), {
    host: 'b.com',
    port: 5071,
    transport: 'tcp',
    isSecure: true,
  })
  t.same(hop('sip:a@b.com;maddr=[2001:DB8::1]'), {
    host: '2001:db8::1',
    port: 0,
    transport: undefined,
    isSecure: false,
  })
  t.equal(hop('sip:a@b.com;maddr=SS1.example.com')?.host, 'ss1.example.com')
  t.equal(hop('sip:a@b.com;maddr=')?.host, 'b.com')
  t.equal(hop('sip:a@b.com;transport=sctp')?.transport, undefined)
})

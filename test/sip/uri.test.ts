import t from 'tap'
import { parseUri } from '../../src/sip/uri.ts'

function parts(text: string) {
  const uri = parseUri(text)
  if (uri === undefined) return undefined
  const { scheme, user, password, host, port, params, headers } = uri
  return { scheme, user, password, host, port, params, headers }
}

const plain = {
  scheme: 'sip',
  user: 'alice',
  password: undefined,
  host: 'atlanta.com',
  port: 0,
  params: '',
  headers: '',
}

t.test('every part of a sip URI', async (t) => {
  t.same(parts('sip:alice@atlanta.com'), plain)
  t.same(parts('SIPS:alice:secretword@AtLanta.com:5061;transport=tcp;lr?subject=x&priority=urgent'), {
    scheme: 'sips',
    user: 'alice',
    password: 'secretword',
    host: 'atlanta.com',
    port: 5061,
    params: ';transport=tcp;lr',
    headers: 'subject=x&priority=urgent',
  })
  t.same(parts('sip:+1-212-555-1212:1234@gateway.com;user=phone'), {
    ...plain,
    user: '+1-212-555-1212',
    password: '1234',
    host: 'gateway.com',
    params: ';user=phone',
  })
  t.same(parts('sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com'), {
    ...plain,
    user: '',
    params: ';method=REGISTER',
    headers: 'to=alice%40atlanta.com',
  })
  t.same(parts('sip:alice;day=tuesday@atlanta.com'), { ...plain, user: 'alice;day=tuesday' })
  t.equal(parseUri('sip:alice@atlanta.com?')?.headers, '')
  t.equal(parseUri('sip:alice@atlanta.com')?.hasHeaders, false)
})

t.test('the user part may hold what delimits elsewhere (RFC 4475 3.1.1.2)', async (t) => {
  const text =
    "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com"
  const uri = parseUri(text)
  t.equal(uri?.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
  t.equal(uri?.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
  t.equal(uri?.host, 'example.com')
})

t.test('escapes are kept raw, and decoded on demand', async (t) => {
  const uri = parseUri('sip:sips%3Auser%40example.com@example.net;%6C%72;n%61me=v%61lue%25%34%31')
  t.equal(uri?.user, 'sips%3Auser%40example.com')
  t.equal(uri?.userDecoded, 'sips:user@example.com')
  t.equal(uri?.param('lr'), '')
  t.equal(uri?.param('name'), 'value%41', 'decoded once, not twice')
  t.equal(parseUri('sip:null-%00-null@example.com')?.userDecoded, 'null-\0-null')
})

t.test('parameters are found in any case, by their whole name only', async (t) => {
  const uri = parseUri('sip:a@b;transportx=1;Transport=TCP;lr;maddr=[::1];x=a=b')
  t.equal(uri?.param('transport'), 'TCP')
  t.equal(uri?.param('lr'), '')
  t.equal(uri?.param('maddr'), '[::1]')
  t.equal(uri?.param('x'), 'a=b')
  t.equal(uri?.param('tran'), undefined)
  t.equal(uri?.hasParam('ttl'), false)
  t.equal(parseUri('sip:a@b')?.param('lr'), undefined)
  t.equal(parseUri('sip:a@b?lr=1')?.param('lr'), undefined, 'a header is no parameter')
})

t.test('IPv6 references', async (t) => {
  t.match(parts('sip:[2001:DB8::10]:5070'), { host: '2001:db8::10', port: 5070, user: '' })
  t.match(parts('sip:[2001:db8::10:5070]'), { host: '2001:db8::10:5070', port: 0 })
  t.match(parts('sip:u@[2001:db8:::192.0.2.1]'), { host: '2001:db8::c000:201' }, ':::' + ' is read as ::')
  t.match(parts('sip:u@[::ffff:192.0.2.2];x=1'), { host: '::ffff:192.0.2.2', params: ';x=1' })
  t.equal(parseUri('sip:u@[2001:db8::10]:5070')?.hostPort, '[2001:db8::10]:5070')
  for (const bad of [
    'sip:2001:db8::10',
    'sip:[2001:db8::10',
    'sip:[]',
    'sip:[1:2]',
    'sip:[::1::2]',
    'sip:[g::1]',
    'sip:[::1]x',
  ]) {
    t.equal(parseUri(bad), undefined, bad)
  }
})

t.test('what phones send and nobody can mistake is let pass', async (t) => {
  t.equal(parseUri('sip:#31#0123@example.com')?.user, '#31#0123')
  t.equal(parseUri('sip:m\xc3\xbcller@example.com')?.user, 'm\xc3\xbcller')
  t.equal(parseUri('sip:alice@my_pbx')?.host, 'my_pbx')
  t.equal(parseUri('sip:alice@example.com;lr;')?.param('lr'), '')
  t.equal(parseUri('sip:@example.com')?.user, '')
})

t.test('malformed URIs', async (t) => {
  const bad = [
    ...[
      '',
      'sip',
      'sip:',
      'sips:',
      'sip:alice@',
      'alice@example.com',
      '<sip:alice@example.com>',
      ' sip:a@b',
      'sip:a@b ',
      'sip:a @b',
    ],
    ...[
      'sip:a@b; lr',
      'sip:a@b;;lr',
      'sip:a@b;=x',
      'sip:a@b:',
      'sip:a@b:0',
      'sip:a@b:65536',
      'sip:a@b:5060x',
      'sip:a@b:50 60',
      'sip:a:b',
    ],
    ...[
      'sip:a%4@b',
      'sip:a%zz@b',
      'sip:a%@b',
      'sip:a@b;x=%4',
      'sip:a@b?x=%g0',
      'sip:a@b@c',
      'sip:a"@b',
      'sip:a<@b',
      'sip:a\\@b',
      'sip:a@b;x="y"',
    ],
    ...[
      'sip:a@b c',
      'sip:a@b/c',
      'sip:a@.b',
      'sip:a@b,c',
      'sip:a\0@b',
      'sip:a@b\r\n',
      ':x',
      'x:',
      '1x:y',
      'http:/ /x',
    ],
    ...['tel:', 'tel:+', 'tel:abcxyz', 'tel:+1 212', 'tel:1;;x', 'tel:-'],
  ]
  for (const text of bad) t.equal(parseUri(text), undefined, JSON.stringify(text))
})

t.test('tel and unknown schemes', async (t) => {
  t.match(parts('tel:+1-201-555-0123;ext=12'), {
    scheme: 'tel',
    user: '+1-201-555-0123',
    host: '',
    params: ';ext=12',
  })
  t.match(parts('TEL:7042;phone-context=example.com'), { scheme: 'tel', user: '7042' })
  t.match(parts('nobodyKnowsThisScheme:totallyopaquecontent'), {
    scheme: 'nobodyknowsthisscheme',
    user: '',
    host: '',
  })
  t.match(parts('soap.beep://192.0.2.103:3002'), { scheme: 'soap.beep' })
  t.match(parts('isbn:2983792873'), { scheme: 'isbn' })
  t.equal(parseUri('tel:112')?.isSip, false)
  t.equal(parseUri('sips:a@b')?.isSip, true)
})

t.test('the text is what was received', async (t) => {
  t.equal(`${parseUri('SIP:A%41@Example.COM:05060;X=Y')}`, 'SIP:A%41@Example.COM:05060;X=Y')
})

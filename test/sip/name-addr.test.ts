import t from 'tap'
import { parseNameAddr } from '../../src/sip/name-addr.ts'

function parts(text: string) {
  const value = parseNameAddr(text)
  return value && [value.display, value.uriText, value.params]
}

t.test('name-addr and addr-spec', async (t) => {
  t.same(parts('"Bell, A" <sip:a@b;lr>;tag=1'), ['"Bell, A"', 'sip:a@b;lr', ';tag=1'])
  t.same(parts('<sip:a@b>'), ['', 'sip:a@b', ''])
  t.same(parts('caller<sip:a@b>;tag=323'), ['caller', 'sip:a@b', ';tag=323'])
  t.same(parts("token1~` token2'+_ token3*%!.- <sip:a@b>"), ["token1~` token2'+_ token3*%!.-", 'sip:a@b', ''])
  t.same(parts('sip:a@b'), ['', 'sip:a@b', ''])
  t.same(parts('<sip:a,b;c?d=e@f?x=y>'), ['', 'sip:a,b;c?d=e@f?x=y', ''])
  t.same(parts('""<sip:a@b>'), ['""', 'sip:a@b', ''])
})

t.test("without <>, parameters are the header's (RFC 3261 20.10)", async (t) => {
  t.same(parts('sip:+19725552222@gw1.example.net;unknownparam'), [
    '',
    'sip:+19725552222@gw1.example.net',
    ';unknownparam',
  ])
  const bracketed = parseNameAddr('<sip:a@b;unknownparam>')
  t.equal(bracketed?.params, '')
  t.equal(bracketed?.uri?.params, ';unknownparam')
})

t.test('white space and folding', async (t) => {
  const to = parseNameAddr('sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n')
  t.equal(to?.uriText, 'sip:vivekg@chair-dnrc.example.com')
  t.equal(to?.tag, '1918181833n')
  const from = parseNameAddr(
    '"J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8',
  )
  t.equal(from?.displayDecoded, 'J Rosenberg \\"')
  t.equal(from?.tag, '98asjd8')
})

t.test('tags and other parameters', async (t) => {
  t.equal(parseNameAddr('<sip:a@b>;x="tag=no";TAG=yes')?.tag, 'yes')
  t.equal(parseNameAddr('<sip:a@b;tag=no>')?.tag, undefined)
  t.equal(parseNameAddr('<sip:a@b>;tag')?.tag, undefined)
  t.equal(parseNameAddr('<sip:a@b>;tag=')?.tag, undefined)
  t.equal(parseNameAddr('<sip:a@b>;tag=a;tag=b')?.tag, 'a')
  t.equal(parseNameAddr('<sip:a@b>;x="tag=no";y')?.param('x'), 'tag=no')
  t.equal(parseNameAddr('<sip:a@b>')?.param('y'), undefined)
})

t.test('unquoted names that phones send', async (t) => {
  t.equal(parseNameAddr('\xd0\x90\xd0\xbb <sip:a@b>')?.display, '\xd0\x90\xd0\xbb')
  t.equal(parseNameAddr('100@pbx (desk) <sip:a@b>')?.display, '100@pbx (desk)')
})

t.test('a last ; is let pass', async (t) => {
  t.equal(parseNameAddr('<sip:a@b>;tag=1;')?.tag, '1')
})

t.test('malformed values', async (t) => {
  const bad = [
    ...[
      '',
      ' ',
      '"Mr. J. User <sip:a@b>',
      '"x" sip:a@b',
      '"x"',
      'Bell, A <sip:a@b>',
      '<sip:a@b',
      '<>',
      'a;b <sip:a@b>',
      'a "b" <sip:x>',
    ],
    ...[
      'sip:a@b?Route=%3Csip:c%3E',
      'sip:a,b@c',
      'sip:a@b>',
      '<sip:a@b>;;;;',
      '<sip:a@b> x',
      '<sip:a@b>, <sip:c@d>',
      'sip:a@b, sip:c@d',
    ],
    ...['sip:a@b c', '<sip:a@b>;tag="x'],
  ]
  for (const text of bad) t.equal(parseNameAddr(text), undefined, JSON.stringify(text))
})

t.test('the URI is judged when it is asked for', async (t) => {
  const spaced = parseNameAddr('"Watson, Thomas" < sip:t.watson@example.org >')
  t.ok(spaced)
  t.equal(spaced?.uri, undefined)
  t.equal(parseNameAddr('isbn:2983792873')?.uri?.scheme, 'isbn')
  const value = parseNameAddr('<sip:a@b>')
  t.equal(value?.uri, value?.uri, 'and parsed once')
})

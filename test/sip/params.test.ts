import t from 'tap'
import { findParam, parseParams, quote, splitList, unquote } from '../../src/sip/params.ts'

t.test('finds a parameter by its whole name, in any case, folded or not', async (t) => {
  const text = ';lr ;\r\n Tag\t= 98asjd8;x="a;b,\\"c\\"" ;empty=;tag2=z'
  t.equal(findParam(text, 'tag'), '98asjd8')
  t.equal(findParam(text, 'lr'), '')
  t.equal(findParam(text, 'x'), 'a;b,"c"')
  t.equal(findParam(text, 'empty'), '')
  t.equal(findParam(text, 'tag2'), 'z')
  t.equal(findParam(text, 'ta'), undefined)
  t.equal(findParam('', 'tag'), undefined)
})

t.test('reads all in order, names as they came', async (t) => {
  t.same(parseParams(';Lr;a=1; b = "x y"'), [
    { name: 'Lr', value: undefined },
    { name: 'a', value: '1' },
    { name: 'b', value: 'x y' },
  ])
  t.same(parseParams(''), [])
  t.same(parseParams(';a;'), [{ name: 'a', value: undefined }], 'a last ; is let pass')
})

t.test('malformed parameters', async (t) => {
  for (const bad of ['a', ';;', ';;a', ';=x', ';a=b c', ';a="x', ';a b', ';a=<x>', ';a,b']) {
    t.equal(parseParams(bad), undefined, bad)
  }
})

t.test('comma lists honour quotes and angle brackets', async (t) => {
  t.same(splitList('a'), ['a'])
  t.same(splitList(' a , b,c '), ['a', 'b', 'c'])
  t.same(splitList('"Bell, A" <sip:a,b@c;x=","> ;q=1, <sip:d>'), [
    '"Bell, A" <sip:a,b@c;x=","> ;q=1',
    '<sip:d>',
  ])
  t.same(splitList('"\\",", b'), ['"\\","', 'b'])
  t.same(splitList('a,\r\n b'), ['a', 'b'])
  t.same(splitList(''), [])
  t.same(splitList(' , ,a,,'), ['a'], 'empty elements vanish')
  t.same(splitList('"open, b'), ['"open, b'])
  t.same(splitList('<open, b'), ['<open, b'])
})

t.test('quoting', async (t) => {
  t.equal(unquote('"a\\"b\\\\c"'), 'a"b\\c')
  t.equal(unquote('token'), 'token')
  t.equal(quote('a"b\\c'), '"a\\"b\\\\c"')
  t.equal(unquote(quote('"\\')), '"\\')
})

import fc from 'fast-check'
import t from 'tap'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { Rewrite } from '../../src/sip/rewrite.ts'

function parse(text: string): Message {
  const message = parseMessage(text)
  if (message === undefined) throw new Error(`no message: ${text}`)
  return message
}

const START = 'INVITE sip:bob@example.com SIP/2.0'

const message = (lines: readonly string[], body = '') =>
  parse(`${[START, ...lines].join('\r\n')}\r\n\r\n${body}`)

/** The lines after an edit, without the start line; the edit must leave start line and body alone. */
function edited(lines: readonly string[], edit: (out: Rewrite) => unknown): string[] {
  const out = new Rewrite(message(lines, 'the\r\n\r\nbody'))
  edit(out)
  const [head = '', ...rest] = out.toString().split('\r\n\r\n')
  if (rest.join('\r\n\r\n') !== 'the\r\n\r\nbody') throw new Error('the body has changed')
  const [start, ...after] = head.split('\r\n')
  if (start !== START) throw new Error('the start line has changed')
  return after
}

const BASE = [
  'Via: v1, v2',
  'Max-Forwards: 70',
  'v: v3',
  'Route: <sip:r1;lr>',
  'X: y',
  'Route: <sip:r2>,<sip:r3>',
]

t.test('without edits every byte stays', async (t) => {
  for (const text of [
    `${START}\r\n\r\n`,
    `${START}\nVia : a\n ,b\nl:3\n\nabc`,
    `${START}\r\nnonsense\r\n: x\r\nCall-ID: 1`,
    'SIP/2.0 200 \r\nCall-ID: 1\r\n\r\n\0\xff',
  ])
    t.equal(new Rewrite(parse(text)).toString(), text)
})

t.test('setRequestUri respells the request line', async (t) => {
  const loose = parse('INVITE   sip:a b  sip/2.0 \r\nX: y\r\n\r\nbody')
  t.equal(
    new Rewrite(loose).setRequestUri('sip:c@d').toString(),
    'INVITE sip:c@d SIP/2.0\r\nX: y\r\n\r\nbody',
  )
  t.equal(
    new Rewrite(message(['X: y'])).setRequestUri('sip:c@d').setRequestUri('sip:e@f').toString(),
    'INVITE sip:e@f SIP/2.0\r\nX: y\r\n\r\n',
    'the later one holds',
  )
})

t.test('set', async (t) => {
  t.same(
    edited(BASE, (out) => out.set(H.maxForwards, '69')),
    ['Via: v1, v2', 'Max-Forwards: 69', 'v: v3', 'Route: <sip:r1;lr>', 'X: y', 'Route: <sip:r2>,<sip:r3>'],
  )
  t.same(
    edited(['X: y'], (out) => out.set(H.maxForwards, '70')),
    ['X: y', 'Max-Forwards: 70'],
  )
  t.same(
    edited(BASE, (out) => out.set(H.route, '<sip:new>')),
    ['Via: v1, v2', 'Max-Forwards: 70', 'v: v3', 'Route: <sip:new>', 'X: y'],
    'of several lines one is left',
  )
  t.same(
    edited(['MAX-forwards : 1', 'X: y'], (out) => out.set(H.maxForwards, '0')),
    ['MAX-forwards : 0', 'X: y'],
  )
  t.same(
    edited(['Max-Forwards:', 'X: y'], (out) => out.set(H.maxForwards, '70')),
    ['Max-Forwards:70', 'X: y'],
  )
  t.same(
    edited(['From: "a\r\n b"\r\n <sip:a>', 'X: y'], (out) => out.set(H.from, '<sip:n>')),
    ['From: <sip:n>', 'X: y'],
    'a folded value goes as a whole',
  )
})

t.test('prepend', async (t) => {
  t.same(edited(BASE, (out) => out.prepend(H.via, 'new')).slice(0, 2), ['Via: new', 'Via: v1, v2'])
  t.same(edited(BASE, (out) => out.prepend(H.route, 'new')).slice(3, 5), ['Route: new', 'Route: <sip:r1;lr>'])
  t.same(
    edited(BASE, (out) => out.prepend(H.recordRoute, 'new')).slice(1, 5),
    ['Max-Forwards: 70', 'v: v3', 'Record-Route: new', 'Route: <sip:r1;lr>'],
    'below the Vias where there is none',
  )
  t.same(
    edited(['X: y'], (out) => out.prepend(H.via, 'new')),
    ['Via: new', 'X: y'],
  )
  t.same(
    edited(['X: y'], (out) => out.prepend(H.via, '1').prepend(H.via, '2')),
    ['Via: 1', 'Via: 2', 'X: y'],
    'at one place in the order of the calls',
  )
})

t.test('append', async (t) => {
  t.same(edited(BASE, (out) => out.append(H.route, 'new')).slice(5), [
    'Route: <sip:r2>,<sip:r3>',
    'Route: new',
  ])
  t.same(edited(BASE, (out) => out.append(H.via, 'new')).slice(2, 4), ['v: v3', 'Via: new'])
  t.same(edited(BASE, (out) => out.append(H.path, 'new')).slice(5), ['Route: <sip:r2>,<sip:r3>', 'Path: new'])
})

t.test('remove', async (t) => {
  t.same(
    edited(BASE, (out) => out.remove(H.route)),
    ['Via: v1, v2', 'Max-Forwards: 70', 'v: v3', 'X: y'],
  )
  t.same(
    edited(BASE, (out) => out.remove(H.path)),
    BASE,
  )
  t.same(
    edited(['Path: a,\r\n b', 'X: y'], (out) => out.remove(H.path)),
    ['X: y'],
    'with what is folded',
  )
})

t.test('dropFirst over the borders of lines', async (t) => {
  const route = (lines: readonly string[], count?: number) =>
    edited([...lines, 'X: y'], (out) => out.dropFirst(H.route, count))
  const lines = ['Route: a, b', 'route: c;x="1,2"\r\n ,\r\n <sip:d,e>', 'Route: f']
  t.same(route(lines), [
    'Route: b',
    ...'route: c;x="1,2"\r\n ,\r\n <sip:d,e>'.split('\r\n'),
    'Route: f',
    'X: y',
  ])
  t.same(route(lines, 0), [...lines.join('\r\n').split('\r\n'), 'X: y'])
  t.same(route(lines, 2), ['route: c;x="1,2"', ' ,', ' <sip:d,e>', 'Route: f', 'X: y'])
  t.same(route(lines, 3), ['route: <sip:d,e>', 'Route: f', 'X: y'])
  t.same(route(lines, 4), ['Route: f', 'X: y'])
  t.same(route(lines, 5), ['X: y'])
  t.same(route(lines, 6), ['X: y'])
  t.same(route([]), ['X: y'])
})

t.test('empty elements are no values', async (t) => {
  // Else who pops his own Route from such a list would send the request to himself again.
  t.same(
    edited(['Route: , a, b'], (out) => out.dropFirst(H.route)),
    ['Route: b'],
  )
  t.same(
    edited(['Route: a,, ,b'], (out) => out.dropFirst(H.route)),
    ['Route: b'],
  )
  t.same(
    edited(['Route:', 'Route: a', 'Route: b'], (out) => out.dropFirst(H.route)),
    ['Route: b'],
  )
  t.same(
    edited(['Route: a,', 'Route: b'], (out) => out.dropFirst(H.route)),
    ['Route: b'],
  )
  t.same(
    edited(['Route:', 'Route: , a'], (out) => out.replaceFirst(H.route, 'n')),
    ['Route:', 'Route: , n'],
  )
  t.same(
    edited(['Route:', 'Route: , a,b'], (out) => out.extendFirst(H.route, ';x')),
    ['Route:', 'Route: , a;x,b'],
  )
})

t.test('replaceFirst and extendFirst', async (t) => {
  t.same(edited(BASE, (out) => out.replaceFirst(H.via, 'new'))[0], 'Via: new, v2')
  t.same(edited(BASE, (out) => out.extendFirst(H.via, ';received=1'))[0], 'Via: v1;received=1, v2')
  t.same(
    edited(['Via: a;x="1,2" , b'], (out) => out.replaceFirst(H.via, 'n')),
    ['Via: n , b'],
  )
  t.same(
    edited(['Via: a\r\n , b'], (out) => out.extendFirst(H.via, ';x')),
    ['Via: a;x', ' , b'],
  )
  t.same(
    edited(['To: "a, b" <sip:c>, d'], (out) => out.extendFirst(H.to, ';tag=1')),
    ['To: "a, b" <sip:c>, d;tag=1'],
  )
  t.same(
    edited(['X: y'], (out) => out.replaceFirst(H.via, 'n').extendFirst(H.via, 'm')),
    ['X: y'],
  )
})

t.test('setBody', async (t) => {
  const out = new Rewrite(message(['l: 3', 'Content-Encoding: gzip', 'c: text/plain'], 'abc'))
  t.equal(
    out.setBody('hello', 'application/sdp').toString(),
    `${START}\r\nl: 5\r\nc: application/sdp\r\n\r\nhello`,
  )
  t.equal(
    new Rewrite(message(['X: y'])).setBody('\xff\0', 'a/b').toString(),
    `${START}\r\nX: y\r\nContent-Length: 2\r\nContent-Type: a/b\r\n\r\n\xff\0`,
  )
  t.equal(
    new Rewrite(message(['l: 3'], 'abc')).setBody('', 'a/b').toString(),
    `${START}\r\nl: 0\r\nContent-Type: a/b\r\n\r\n`,
  )
})

t.test('the edits of a hop, in any order', async (t) => {
  const request = [
    'Via: v1;rport, v2',
    'Route: <sip:us>',
    'Path: forged',
    'Max-Forwards: 70',
    'Path: forged2',
  ]
  const edits: ((out: Rewrite) => unknown)[] = [
    (out) => out.dropFirst(H.route),
    (out) => out.set(H.maxForwards, '69'),
    (out) => out.replaceFirst(H.via, 'v1;rport=1'),
    (out) => out.prepend(H.via, 'v0'),
    (out) => out.remove(H.path),
    (out) => out.append(H.path, 'ours'),
    (out) => out.setRequestUri('sip:bob@example.com'),
  ]
  const expected = ['Via: v0', 'Via: v1;rport=1, v2', 'Max-Forwards: 69', 'Path: ours']
  fc.assert(
    fc.property(fc.shuffledSubarray(edits, { minLength: edits.length }), (order) => {
      const lines = edited(request, (out) => {
        for (const edit of order) edit(out)
      })
      return JSON.stringify(lines) === JSON.stringify(expected)
    }),
    { seed: 20020601, numRuns: 300 },
  )
  t.same(
    edited(request, (out) => {
      for (const edit of edits) edit(out)
    }),
    expected,
  )
})

t.test('edits of one line', async (t) => {
  const lines = (edit: (out: Rewrite) => unknown) => edited(['Path: a, b', 'X: y'], edit)
  t.same(
    lines((out) => out.remove(H.path).prepend(H.path, 'n')),
    ['Path: n', 'X: y'],
  )
  t.same(
    lines((out) => out.prepend(H.path, 'n').remove(H.path)),
    ['Path: n', 'X: y'],
  )
  t.same(
    lines((out) => out.dropFirst(H.path, 2).prepend(H.path, 'n')),
    ['Path: n', 'X: y'],
  )
  t.same(
    lines((out) => out.prepend(H.path, 'n').dropFirst(H.path).append(H.path, 'm')),
    ['Path: n', 'Path: b', 'Path: m', 'X: y'],
  )
  t.same(
    lines((out) => out.set(H.path, 'n').set(H.path, 'm')),
    ['Path: m', 'X: y'],
    'the later one holds',
  )
  t.same(
    lines((out) => out.remove(H.path).set(H.path, 'm')),
    ['Path: m', 'X: y'],
  )
  t.same(
    lines((out) => out.set(H.path, 'm').remove(H.path)),
    ['X: y'],
  )
  t.same(
    lines((out) => out.extendFirst(H.path, ';x').remove(H.path)),
    ['X: y'],
    'goes with its line',
  )
  t.same(
    lines((out) => out.remove(H.path).replaceFirst(H.path, 'n')),
    ['X: y'],
  )
  t.same(
    lines((out) => out.extendFirst(H.path, ';x').prepend(H.path, 'n')),
    ['Path: n', 'Path: a;x, b', 'X: y'],
  )
})

t.test('one message, several rewrites', async (t) => {
  const request = message(['Via: v1'])
  const forks = ['sip:a@b', 'sip:c@d'].map((uri) =>
    new Rewrite(request).setRequestUri(uri).prepend(H.via, uri),
  )
  t.same(
    forks.map((fork) => fork.toString()),
    ['sip:a@b', 'sip:c@d'].map((uri) => `INVITE ${uri} SIP/2.0\r\nVia: ${uri}\r\nVia: v1\r\n\r\n`),
  )
  t.equal(new Rewrite(request).toString(), request.text)
})

t.test('what is set is read back', async () => {
  const ids = [H.via, H.route, H.from, H.maxForwards, H.path, H.contentType]
  const line = fc.constantFrom(
    'Via: a, b',
    'v: c',
    'Route: <sip:x,y>,\r\n z',
    'From: d',
    'Max-Forwards: 5',
    'X: y',
    'Path:',
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom(...ids), (lines, id) => {
      const before = message(lines, 'body')
      const after = (edit: (out: Rewrite) => Rewrite) => parse(edit(new Rewrite(before)).toString())
      const values = before.values(id)
      const same = (a: readonly string[], b: readonly string[]) => JSON.stringify(a) === JSON.stringify(b)
      const untouched = (m: Message) =>
        ids.every((other) => other === id || same(m.values(other), before.values(other)))
      return (
        same(after((out) => out.set(id, 'n')).values(id), ['n']) &&
        same(after((out) => out.prepend(id, 'n')).values(id), ['n', ...values]) &&
        same(after((out) => out.append(id, 'n')).values(id), [...values, 'n']) &&
        after((out) => out.remove(id)).values(id).length === 0 &&
        same(
          after((out) => out.replaceFirst(id, 'n')).values(id),
          values.length > 0 ? ['n', ...values.slice(1)] : [],
        ) &&
        [1, 2, 3].every((count) => {
          const dropped = after((out) => out.dropFirst(id, count))
          return untouched(dropped) && same(dropped.values(id), values.slice(count))
        })
      )
    }),
    { seed: 3261, numRuns: 500 },
  )
})

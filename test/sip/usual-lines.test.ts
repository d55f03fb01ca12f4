import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { H, headerName } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { checkRequest } from '../../src/sip/validate.ts'

/** What a run of usual lines says must be what its lines say that are looked at one by one. */

const RUNS = { seed: 20020601, numRuns: 6000 }

const NAMES = Object.values(H)
  .map(headerName)
  .filter((name) => name !== '')
const MANDATORY = ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Max-Forwards', 'Contact', 'Content-Length']

/** Names that begin like one of ours or are as long. */
const NEARLY = [
  ...[
    'Vi',
    'Via-X',
    'Vix',
    'Ta',
    'Too',
    'Tx',
    'Fram',
    'Fro',
    'Call-Info',
    'Call-ix',
    'Cseqx',
    'CSex',
    'CSeqs',
  ],
  ...['Max-F', 'Max-Breadth', 'Max-Forwardx', 'Contacx', 'Contact-X', 'Content-Lengtx', 'Content-ID', 'Al'],
  ...[
    'Allow-Events',
    'Alfow',
    'Alert-Info',
    'Session-Expires',
    'Referred-By',
    'X-Y',
    'x',
    'v',
    'l',
    'f',
    'k',
    'c',
  ],
]

const spelling = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...MANDATORY) },
  { weight: 2, arbitrary: fc.constantFrom(...NAMES, ...NEARLY) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...NAMES), fc.boolean())
      .map(([name, isUpper]) => (isUpper ? name.toUpperCase() : name.toLowerCase())),
  },
)

const GOOD: Record<string, readonly string[]> = {
  Via: [
    'SIP/2.0/UDP h;branch=z9hG4bKx',
    'SIP/2.0/TCP 192.0.2.1:5070;rport;branch=z9hG4bK1;received=192.0.2.7',
  ],
  From: ['<sip:a@b>;tag=1', '"A: <b>, c" <sip:a@b;x=y>;tag=1'],
  To: ['<sip:a@b>', 'Bob Builder <sip:bob@example.com:5060>;x="y;z"'],
  'Call-ID': ['1@2', 'a:b'],
  CSeq: ['1 OPTIONS', '999999999 OPTIONS', '2 INVITE'],
  'Max-Forwards': ['70', '0'],
  Contact: ['<sip:a@192.0.2.1:5060>;expires=60', '"A" <sip:a:14@b>', '%<sip:caller@host1.example.net>'],
  'Content-Length': ['0', '4', '00004'],
}

const anyValue = fc.oneof(
  fc.constantFrom(...Object.values(GOOD).flat()),
  fc.constantFrom(
    '',
    'x',
    'a: b',
    'a, b',
    '*',
    '256',
    '7x',
    '1 FOO',
    '\xfc',
    'a\r\n b',
    'a\rb',
    'a ',
    ' a',
    'a\t',
    '@:5060',
  ),
  fc.constantFrom(
    '<sip:a@b>, <sip:c@d>',
    'SIP/2.0/UDP h;branch=z9hG4bK, SIP/2.0/UDP i',
    'SIP/2.0/UDP h;branch=z9hG4bK',
  ),
)

const line = spelling.chain((name) =>
  fc
    .oneof(
      { weight: 5, arbitrary: fc.constantFrom(...(GOOD[name] ?? ['x', 'a: b'])) },
      { weight: 1, arbitrary: anyValue },
    )
    .map((value): readonly [string, string] => [name, value]),
)

const START = 'OPTIONS sip:a@b SIP/2.0\r\n'

function parse(text: string): Message {
  const message = parseMessage(text)
  if (message === undefined) throw new Error('no message')
  return message
}

function facts(message: Message): unknown {
  const { topVia, from, to, cseq, maxForwards, contentLength, callId, hasMalformedLine, body } = message
  const lines = Array.from({ length: message.lineCount }, (_, i) => [
    ...[message.lineId(i), message.lineName(i), message.lineValue(i)],
    message.text.slice(message.valueStart(i), message.valueEnd(i)),
  ])
  const firsts = Object.values(H).map((id) => [message.count(id), message.value(id), message.values(id)])
  return [
    ...[lines, firsts, message.repeated, message.present, maxForwards, contentLength, callId, cseq],
    ...[hasMalformedLine, body, topVia?.text, topVia?.branch, topVia?.received, from?.display, from?.uriText],
    ...[from?.tag, from?.uri?.host, to?.display, to?.uriText, to?.tag, to?.uri?.port, checkRequest(message)],
  ]
}

t.test('runs of usual lines', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom('', 'body'), (lines, body) => {
        const text = (colon: string) =>
          `${START}${lines.map(([name, value]) => `${name}${colon} ${value}\r\n`).join('')}\r\n${body}`
        // A blank before the colon is legal, and not usual.
        const [usual, unusual] = [parse(text(':')), parse(text(' :'))]
        deepStrictEqual(facts(usual), facts(unusual), JSON.stringify(usual.text))
        deepStrictEqual(unusual.good, 0)
      }),
      RUNS,
    ),
  )
})

t.test('what is good', async (t) => {
  const all = MANDATORY.map((name) => `${name}: ${GOOD[name]?.[0]}\r\n`).join('')
  const good = parse(`${START}${all}\r\n`)
  for (const name of MANDATORY) {
    const id = Object.values(H).find((id) => headerName(id) === name) ?? H.other
    t.ok(good.isGood(id), name)
    t.notOk(parse(`${START}${all}${name}: \r\n\r\n`).isGood(id), `${name}: one of its lines is not`)
    t.notOk(parse(`${START}X: y\r\n\r\n`).isGood(id), `${name}: it is not there`)
  }
  t.notOk(parse(`${START}Allow: INVITE\r\n\r\n`).isGood(H.allow), 'nobody has judged its value')
})

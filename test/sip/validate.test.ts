import t from 'tap'
import { limits } from '../../src/sip/limits.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import {
  checkMaxForwards,
  checkProxyRequire,
  checkRequest,
  checkRequire,
  checkResponse,
} from '../../src/sip/validate.ts'

const headers = [
  'Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds',
  'Max-Forwards: 70',
  'To: Bob <sip:bob@example.com>',
  'From: Alice <sip:alice@example.com>;tag=1928301774',
  'Call-ID: a84b4c76e66710',
  'CSeq: 1 OPTIONS',
  'Content-Length: 0',
]

function message(start: string, lines: readonly string[], body = ''): Message {
  const parsed = parseMessage([start, ...lines, '', body].join('\r\n'))
  if (parsed === undefined) throw new Error('not a message')
  return parsed
}

const OPTIONS = 'OPTIONS sip:bob@example.com SIP/2.0'
const request = (...lines: string[]) => message(OPTIONS, lines)
const response = (...lines: string[]) => message('SIP/2.0 200 OK', lines)

/** The headers with those replaced that have the same name; '' in the place of the value removes one. */
function but(...lines: string[]): string[] {
  const name = (line: string) => line.slice(0, line.indexOf(':')).toLowerCase()
  const kept = headers.filter((header) => !lines.some((line) => name(line) === name(header)))
  return [...kept, ...lines.filter((line) => !line.endsWith(':'))]
}

t.test('a good request and a good response', async (t) => {
  t.equal(checkRequest(request(...headers)), undefined)
  t.equal(checkResponse(response(...headers)), undefined)
})

t.test('each mandatory header missing, and repeated', async (t) => {
  for (const name of ['Via', 'To', 'From', 'Call-ID', 'CSeq']) {
    t.match(checkRequest(request(...but(`${name}:`))), { status: 400, reason: `Missing ${name}` })
    t.match(checkResponse(response(...but(`${name}:`))), { reason: `Missing ${name}` })
  }
  for (const line of headers.slice(1, 6)) {
    const name = line.slice(0, line.indexOf(':'))
    t.match(checkRequest(request(...headers, line)), { status: 400, reason: `Repeated ${name}` })
  }
  t.equal(checkRequest(request(...but('Max-Forwards:'))), undefined, 'Max-Forwards may be missing (RFC 2543)')
  t.equal(checkRequest(request(headers[0] ?? '', ...headers)), undefined, 'Vias repeat')
})

t.test('each malformed', async (t) => {
  const cases: [line: string, status: number, reason: string][] = [
    ['Via: SIP/2.0/UDP 192.0.2.15;;,;,,', 400, 'Bad Via'],
    ['Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK', 400, 'Bad Branch'],
    ['CSeq: 36893488147419103232 OPTIONS', 400, 'Bad CSeq'],
    ['CSeq: OPTIONS', 400, 'Bad CSeq'],
    ['CSeq: 8 INVITE', 400, 'CSeq Method Mismatch'],
    ['To: "Mr. J. User <sip:j.user@example.com>', 400, 'Bad To'],
    ['To: "Watson, Thomas" < sip:t.watson@example.org >', 400, 'Bad To'],
    ['From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43', 400, 'Bad From'],
    ['Call-ID: ', 400, 'Bad Call-ID'],
    ['Content-Length: 1', 400, 'Bad Content-Length'],
    ['Content-Length: -999', 400, 'Bad Content-Length'],
  ]
  for (const [line, status, reason] of cases)
    t.match(checkRequest(request(...but(line))), { status, reason }, line)
  t.match(checkRequest(request(...headers, 'no colon here')), {
    status: 400,
    reason: 'Malformed Header Line',
  })
  const unterminated = parseMessage(`${OPTIONS}\r\n${headers.join('\r\n')}\r\n`)
  t.match(unterminated && checkRequest(unterminated), { status: 400, reason: 'Headers Not Terminated' })
})

t.test('the request line', async (t) => {
  const cases: [start: string, status: number][] = [
    ['OPTIONS sip:bob@example.com SIP/7.0', 505],
    ['OPTIONS <sip:bob@example.com> SIP/2.0', 400],
    ['OPTIONS sip:bob@example.com; lr SIP/2.0', 400],
    ['OPTIONS sip:bob@example.com?Route=%3Csip:example.com%3E SIP/2.0', 400],
    ['OPTIONS sip:2001:db8::10 SIP/2.0', 400],
    ['OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0', 416],
    ['OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0', 416],
    [`OPTIONS sip:${'x'.repeat(limits.uriBytes)}@example.com SIP/2.0`, 414],
    ['INVITE sip:bob@example.com SIP/2.0', 400],
    ['NEWMETHOD sip:bob@example.com SIP/2.0', 501],
  ]
  for (const [start, status] of cases)
    t.match(checkRequest(message(start, headers)), { status }, start.slice(0, 60))
  for (const good of [
    'OPTIONS sip:bob@example.com sip/2.0',
    'OPTIONS tel:+12125551212 SIP/2.0',
    'OPTIONS sips:b SIP/2.0',
  ]) {
    t.equal(checkRequest(message(good, headers)), undefined, good)
  }
  t.equal(
    checkRequest(message('FOO sip:b SIP/2.0', but('CSeq: 1 FOO'))),
    undefined,
    'an unknown method is no defect',
  )
})

t.test('limits', async (t) => {
  t.ok(Object.isFrozen(limits))
  const many = (n: number, line: string) => Array.from({ length: n }, () => line)
  t.match(checkRequest(request(...headers, ...many(limits.headerCount, 'X: y'))), { status: 513 })
  t.match(checkRequest(request(...headers, `X: ${'y'.repeat(limits.headerBytes)}`)), { status: 513 })
  t.match(checkRequest(request(...headers, ...many(limits.viaCount, headers[0] ?? ''))), { status: 513 })
  t.match(checkRequest(message(OPTIONS, but('Content-Length:'), 'x'.repeat(limits.messageBytes))), {
    status: 513,
  })
  t.equal(checkRequest(request(...headers, ...many(limits.viaCount - 1, headers[0] ?? ''))), undefined)
})

t.test('the Contacts of a REGISTER, and of nothing else', async (t) => {
  const contact = 'Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E'
  const register = message('REGISTER sip:example.com SIP/2.0', [...but('CSeq: 1 REGISTER'), contact])
  t.match(checkRequest(register), { status: 400, reason: 'Bad Contact' })
  t.equal(checkRequest(request(...headers, contact)), undefined)
})

t.test('responses that are dropped', async (t) => {
  t.match(checkResponse(message('SIP/2.0 4294967301 x', headers)), { reason: 'Bad Status' })
  t.match(checkResponse(response(...but('CSeq: 9292394834772304023312 OPTIONS'))), { reason: 'Bad CSeq' })
  const second = (via: string) =>
    checkResponse(response(headers[0] ?? '', `Via: SIP/2.0/${via}`, ...headers.slice(1)))
  t.match(second('UDP 255.255.255.255;branch=z9hG4bK1'), { reason: 'Unroutable Second Via' })
  t.match(second('UDP ;'), { reason: 'Bad Second Via' })
  t.equal(second('UDP 192.0.2.1'), undefined)
  t.match(checkResponse(response(...but('Content-Length: 9'))), { reason: 'Bad Content-Length' })
})

t.test('Max-Forwards, Proxy-Require and Require are for those whom they concern', async (t) => {
  t.match(checkMaxForwards(request(...but('Max-Forwards: 0'))), { status: 483 })
  t.equal(checkMaxForwards(request(...headers)), undefined)
  t.equal(checkMaxForwards(request(...but('Max-Forwards: 300'))), undefined, 'out of range is as if absent')
  const extended = request(
    ...headers,
    'Proxy-Require: Path, gruu',
    'Proxy-Require: sec-agree',
    'Require: foo',
  )
  const defect = checkProxyRequire(extended, new Set(['path']))
  t.match(defect, { status: 420 })
  t.match(defect?.headers?.[0]?.[1], 'gruu, sec-agree')
  t.equal(checkProxyRequire(extended, new Set(['path', 'gruu', 'sec-agree'])), undefined)
  t.match(checkRequire(extended, new Set()), { status: 420, reason: 'Bad Extension' })
  t.equal(checkRequire(request(...headers), new Set()), undefined)
  const cancel = message('CANCEL sip:bob@example.com SIP/2.0', [...but('CSeq: 1 CANCEL'), 'Require: foo'])
  t.equal(checkRequire(cancel, new Set()), undefined, 'not in a CANCEL')
})

import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseCSeq, scanCSeq } from '../../src/sip/cseq.ts'
import { parseMessage } from '../../src/sip/message.ts'
import { type NameAddr, parseNameAddr, scanNameAddr } from '../../src/sip/name-addr.ts'
import { parseUri, scanUri, type Uri } from '../../src/sip/uri.ts'
import { parseVia, scanVia, type Via } from '../../src/sip/via.ts'

/** What the patterns for the usual spellings say must be what the scanners for the whole grammar say. */

const RUNS = { seed: 3261, numRuns: 4000 }

const uriFacts = (uri: Uri | undefined) =>
  uri && [
    uri.text,
    uri.scheme,
    uri.user,
    uri.password,
    uri.host,
    uri.port,
    uri.params,
    uri.headers,
    uri.param('lr'),
  ]

const viaFacts = (via: Via | undefined) =>
  via && [
    ...[via.text, via.transport, via.host, via.port, via.branch, via.hasMagicCookie, via.hasRport, via.rport],
    ...[via.received, via.params, via.sentBy, via.stamped(undefined, 7), via.stamped('192.0.2.9', 7)],
  ]

const nameAddrFacts = (value: NameAddr | undefined) =>
  value && [
    ...[value.display, value.uriText, value.isBracketed, value.params, value.tag, value.param('x')],
    uriFacts(value.uri),
  ]

const one = (...texts: string[]) => fc.constantFrom(...texts)
const maybe = (...texts: string[]) => fc.constantFrom('', ...texts)
/** Pieces in sequence, now and then with one character replaced. */
const spelling = (...pieces: fc.Arbitrary<string>[]) =>
  fc
    .tuple(fc.tuple(...pieces), fc.nat(), fc.option(one(...' \t\r\n"\\<>@:;,?=%&[]#A\xfc0'), { freq: 3 }))
    .map(([parts, at, replacement]) => {
      const text = parts.join('')
      const i = at % (text.length + 1)
      return replacement === null ? text : text.slice(0, i) + replacement + text.slice(i + 1)
    })

const uri = spelling(
  one('sip:', 'sip:', 'sips:', 'SIP:'),
  maybe('alice@', '+49-30(1)@', 'a;b?c@', '@', 'a:p@', '%41@'),
  one('example.com', '192.0.2.1', 'Example.com', '[::1]', '.x', ''),
  maybe(':5060', ':0', ':65535', ':65536', ':00', ':', ':123456'),
  maybe(';lr', ';transport=udp;lr', ';', ';;', ';x=', ';m=[::1]'),
  maybe('?a=b'),
)

const via = spelling(
  one('SIP/2.0/UDP ', 'SIP/2.0/TCP ', 'SIP/2.0/WS ', 'SIP / 2.0/UDP '),
  one('example.com', '192.0.2.1', 'Example.com', '[::1]'),
  maybe(':5060', ':0', ':65535', ':65536'),
  maybe(';rport', ';rport=9', ';x=y'),
  maybe(';branch=z9hG4bKx', ';branch=', ';Branch=1'),
  maybe(';rport', ';rport=99999', ';received=1.2.3.4'),
  maybe(';received=192.0.2.1', ';received=192.0.2.1;', ';ttl=1'),
  maybe(';rport=1', ';map=7', ';x;ttl=1', ';b=1', ';Rport', ';re=1'),
  maybe(
    ';conn=0.5060.77;cred',
    ';branch=2',
    ';BRANCH=2',
    ';received-from=x',
    ';RECEIVED=1.2.3.4',
    ';x=[::1]',
    ';maddr=1.2.3.4',
  ),
  maybe(', SIP/2.0/UDP h', ' ,x', ','),
)

const nameAddr = spelling(
  maybe('"A, B" ', '"A"', 'Alice ', 'Alice  Bob ', 'A,B ', '"\\"" ', ' '),
  one('<', '<', ''),
  uri,
  one('>', '>', ''),
  maybe(';expires=60', ';q=0.5;+sip.instance="<urn:x;y>"', ';tag=2;x', ';Tag=3', ';tagged', ';tag-x=1'),
  maybe(';tag=1', ';x=y;tag=1', ';tag=', ';tag="a"', ' ;tag=1', ';', ';tag=1;'),
)

const cseq = spelling(
  maybe(' '),
  one('1', '0009', '999999999', '2147483648', ''),
  one(' ', '  ', ''),
  one('INVITE', 'foo', 'A-B', ''),
  maybe(' '),
)

type Facts = (text: string, start: number, end: number) => unknown

/** Parses `text` alone, and as a part of something longer. */
function agree(fast: Facts, slow: Facts, text: string): void {
  for (const [before, after] of [
    ['', ''],
    ['<"', '>;tag=2, x'],
    ['x', '\r\nY: z'],
  ] as const) {
    const whole = before + text + after
    const range = [before.length, before.length + text.length] as const
    deepStrictEqual(fast(whole, ...range), slow(whole, ...range), JSON.stringify(text))
  }
}

function holdAgainst(t: Test, texts: fc.Arbitrary<string>, fast: Facts, slow: Facts): void {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(texts, (text) => agree(fast, slow, text)),
      RUNS,
    ),
  )
}

t.test('URIs', async (t) => {
  holdAgainst(
    t,
    uri,
    (...range) => uriFacts(parseUri(...range)),
    (...range) => uriFacts(scanUri(...range)),
  )
})

t.test('Vias', async (t) => {
  holdAgainst(
    t,
    via,
    (...range) => viaFacts(parseVia(...range)),
    (...range) => viaFacts(scanVia(...range)),
  )
})

t.test('name-addrs', async (t) => {
  holdAgainst(
    t,
    nameAddr,
    (...range) => nameAddrFacts(parseNameAddr(...range)),
    (...range) => nameAddrFacts(scanNameAddr(...range)),
  )
})

t.test('CSeqs', async (t) => {
  holdAgainst(t, cseq, parseCSeq, scanCSeq)
})

t.test('no spelling makes a pattern backtrack for long', async (t) => {
  const long = 'a'.repeat(50_000)
  const texts = [
    `sip:${long}`,
    `sip:${';a'.repeat(25_000)}`,
    `"${long}`,
    `${'a '.repeat(25_000)}`,
    `SIP/2.0/UDP ${long}`,
    `<sip:${'a.'.repeat(25_000)}`,
  ]
  const before = process.cpuUsage()
  for (const text of texts) {
    parseUri(text)
    parseNameAddr(text)
    parseVia(text)
    for (const name of ['From', 'Via', 'X'])
      parseMessage(`OPTIONS ${text} SIP/2.0\r\n${name}: ${text}\r\n\r\n`)
  }
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 400_000, `${user + system} µs`)
})

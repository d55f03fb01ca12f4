import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { aorKey } from '../../src/partition/canonical-user.ts'
import { type Contact, parseContacts } from '../../src/sip/contact.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { respond } from '../../src/sip/response.ts'
import { Rewrite } from '../../src/sip/rewrite.ts'
import { parseRoutes } from '../../src/sip/route.ts'
import { parseUri, type Uri } from '../../src/sip/uri.ts'
import {
  checkMaxForwards,
  checkProxyRequire,
  checkRequest,
  checkRequire,
  checkResponse,
} from '../../src/sip/validate.ts'
import { parseVia, responseTarget, viaFor } from '../../src/sip/via.ts'

/**
 * The parser's part of test/fixtures/torture/INDEX.md: every message, what checkRequest or checkResponse says of it,
 * and the facts that are easily got wrong. What the registrar and the proxy do with them is tested with those.
 */

const folder = new URL('../fixtures/torture/', import.meta.url)
const source: Endpoint = { transport: 'udp', address: '198.51.100.7', port: 5060 }

function read(path: string): string {
  return readFileSync(new URL(`${path}.dat`, folder), 'latin1')
}

function load(path: string): Message {
  const message = parseMessage(read(path))
  if (message === undefined) throw new Error(`${path} has no start line`)
  return message
}

function uriOf(message: Message): Uri {
  const uri = parseUri(message.requestUri)
  if (uri === undefined) throw new Error(`bad Request-URI ${message.requestUri}`)
  return uri
}

function contactsOf(message: Message): readonly Contact[] {
  const contacts = parseContacts(message.values(H.contact))
  return Array.isArray(contacts) ? contacts : []
}

type Facts = (t: Test, message: Message) => void
type Expectation = number | 'accept' | 'drop'

const seen = new Set<string>()

/** What `path` must get; a number is the status of the answer. */
function torture(path: string, expected: Expectation, facts: Facts = () => {}): void {
  seen.add(`${path}.dat`)
  t.test(`${path}: ${expected}`, async (t) => {
    const message = load(path)
    if (expected === 'accept') accepted(t, message, read(path))
    else if (expected === 'drop') t.ok(!message.isRequest && checkResponse(message), 'dropped')
    else refused(t, message, expected)
    facts(t, message)
  })
}

/** Goes out byte for byte as it came in, apart from the octets after the body, which are no part of it. */
function accepted(t: Test, message: Message, wire: string): void {
  t.equal(message.isRequest ? checkRequest(message) : checkResponse(message), undefined)
  t.equal(new Rewrite(message).toString(), wire.slice(0, message.text.length))
}

/** Refused, and with an answer that its sender can match: the same Vias, dialog and CSeq, as far as it has them. */
function refused(t: Test, request: Message, status: number): void {
  t.equal(checkRequest(request)?.status, status)
  const response = parseMessage(respond(request, status, { source }) ?? '')
  t.ok(
    response && response.status === status && response.terminated && !response.hasMalformedLine,
    'answered',
  )
  t.equal(response?.count(H.via), request.count(H.via))
  t.equal(response?.value(H.via)?.split(';')[0], request.value(H.via)?.split(';')[0])
  for (const id of [H.from, H.to, H.callId, H.cseq]) {
    const own = request.value(id)
    t.equal(response?.count(id), own === undefined ? 0 : 1)
    t.ok(response?.value(id)?.startsWith(own ?? '') ?? true)
  }
  t.equal(response?.contentLength, 0)
}

// RFC 4475

torture('rfc4475/wsinv', 'accept', (t, message) => {
  t.equal(message.maxForwards, 68)
  t.same(message.cseq, { number: 9, method: 'INVITE' })
  t.equal(message.to?.tag, '1918181833n')
  t.equal(message.from?.displayDecoded, 'J Rosenberg \\"')
  t.equal(message.from?.tag, '98asjd8')
  t.equal(message.value(H.callId), 'wsinv.ndaksdj@192.0.2.1')
  t.equal(message.topVia?.hasMagicCookie, false, 'matched by the rules of RFC 2543')
  const vias = message.values(H.via).map((text) => parseVia(text))
  t.same(
    vias.map((via) => [via?.transport, via?.host, via?.branch]),
    [
      ['udp', '192.0.2.2', '390skdjuw'],
      ['tcp', 'spindle.example.com', 'z9hG4bK9ikj8'],
      ['udp', '192.168.255.111', 'z9hG4bK30239'],
    ],
  )
  t.equal(parseRoutes(message.values(H.route))?.[0]?.isLoose, true)
  const [contact] = contactsOf(message)
  t.equal(contact?.q, 330)
  t.equal(contact?.param('newparam'), 'newvalue')
  t.equal(contact?.param('secondparam'), '')
  t.equal(contact?.address.displayDecoded, 'Quoted string ""')
  t.equal(message.valueOf('unknownheaderwithunusualvalue'), ';;,,;;,;')
  t.equal(message.valueOf('NewFangledHeader'), 'newfangled value continued newfangled value')
})

torture('rfc4475/intmeth', 'accept', (t, message) => {
  t.equal(message.method, "!interesting-Method0123456789_*+`.%indeed'~")
  t.equal(uriOf(message).user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
  t.equal(uriOf(message).password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
  t.equal(message.to?.displayDecoded, 'BEL:\x07 NUL:\0 DEL:\x7f')
  t.equal(message.to?.uri?.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
  t.equal(message.from?.tag, "_token~1'+`*%!-.")
  t.equal(
    message.from?.param("fromparam''~+*_!.-%"),
    '\xd1\x80\xd0\xb0\xd0\xb1\xd0\xbe\xd1\x82\xd0\xb0\xd1\x8e\xd1\x89\xd0\xb8\xd0\xb9',
  )
  t.equal(message.callId, 'intmeth.word%ZK-!.*_+\'@word`~)(><:\\/"][?}{')
  t.equal(message.topVia?.branch, "z9hG4bK-.!%66*_+`'~")
})

torture('rfc4475/esc01', 'accept', (t, message) => {
  t.equal(uriOf(message).userDecoded, 'sips:user@example.com')
  t.equal(uriOf(message).host, 'example.net')
  t.equal(message.to?.uri?.userDecoded, 'user')
  const uri = contactsOf(message)[0]?.uri
  t.equal(uri?.userDecoded, 'caller')
  t.equal(uri?.param('lr'), '')
  t.equal(uri?.param('name'), 'value%41')
})

torture('rfc4475/escnull', 'accept', (t, message) => {
  const users = contactsOf(message).map(({ uri }) => [uri.user, uri.userDecoded])
  t.same(users, [
    ['%00', '\0'],
    ['%00%00', '\0\0'],
  ])
  t.equal(message.to?.uri && aorKey(message.to.uri), 'null-%00-null@example.com', 'not cut at the NUL')
})

torture('rfc4475/esc02', 'accept', (t, message) => {
  t.equal(message.method, 'RE%47IST%45R', '% is no escape in a method')
  t.equal(message.cseq?.method, 'RE%47IST%45R')
  t.equal(message.count(H.contact), 2, 'nor in a header name')
  t.equal(message.to?.displayDecoded, '%Z%45')
  t.equal(message.topVia?.branch, 'z9hG4bK209%fzsnel234')
})

torture('rfc4475/lwsdisp', 'accept', (t, message) => {
  t.equal(message.from?.display, 'caller')
  t.equal(message.from?.tag, '323')
})

torture('rfc4475/longreq', 'accept', (t, message) => {
  t.equal(message.values(H.via).length, 34)
  t.equal(message.topVia?.host, 'sip33.example.com')
  t.equal(message.to?.uri?.port, 6000)
  t.match(message.from?.tag, /^1(?:298)+2424$/)
})

torture('rfc4475/semiuri', 'accept', (t, message) => {
  t.equal(uriOf(message).userDecoded, 'user;par=u@example.net')
  t.equal(uriOf(message).host, 'example.com')
  t.equal(uriOf(message).params, '')
  t.equal(aorKey(uriOf(message)), 'user@example.com')
})

torture('rfc4475/transports', 'accept', (t, message) => {
  const transports = message.values(H.via).map((text) => parseVia(text)?.transport)
  t.same(transports, ['udp', 'sctp', 'tls', 'unknown', 'tcp'])
})

torture('rfc4475/mpart01', 'accept', (t, message) => {
  t.equal(message.body.length, 553)
  t.ok(message.topVia?.hasRport)
})

torture('rfc4475/invut', 'accept')

torture('rfc4475/dblreq', 'accept', (t, message) => {
  t.equal(message.method, 'REGISTER')
  t.equal(message.body, '')
  t.notMatch(new Rewrite(message).toString(), /INVITE/, 'the octets after the body vanish')
})

torture('rfc4475/unreason', 'accept', (t, message) => {
  t.equal(message.status, 200)
  t.ok(message.reason.startsWith('= 2**3 * 5**2 \xd0\xbd\xd0\xbe'))
})

torture('rfc4475/noreason', 'accept', (t, message) => {
  t.equal(message.status, 100)
  t.equal(message.reason, '')
})

torture('rfc4475/badinv01', 400)
torture('rfc4475/clerr', 400)
torture('rfc4475/ncl', 400)
torture('rfc4475/mcl01', 400)

torture('rfc4475/scalar02', 400, (t, message) => {
  t.equal(message.maxForwards, undefined, 'out of range alone: as if absent')
  t.equal(contactsOf(message)[0]?.expiresSec, undefined)
  const valid = message.text.replace('36893488147419103232', '1')
  const corrected = parseMessage(valid)
  t.equal(corrected && checkRequest(corrected), undefined, 'the CSeq is what is wrong with it')
})

torture('rfc4475/scalarlg', 'drop')
torture('rfc4475/bigcode', 'drop')
torture('rfc4475/quotbal', 400)
torture('rfc4475/ltgtruri', 400)
torture('rfc4475/lwsruri', 400)
torture('rfc4475/regbadct', 400)
torture('rfc4475/badaspec', 400)
torture('rfc4475/baddn', 400)
torture('rfc4475/baddn.terminated', 400)

// Accepted liberally; only the start line may differ on the way out.
for (const path of ['rfc4475/lwsstart', 'rfc4475/trws']) {
  seen.add(`${path}.dat`)
  t.test(`${path}: accept, the extra spaces are not forwarded`, async (t) => {
    const message = load(path)
    t.equal(checkRequest(message), undefined)
    t.ok(message.looseStartLine)
    const out = new Rewrite(message).setRequestUri(message.requestUri).toString()
    t.match(out, /^\S+ \S+ SIP\/2\.0\r\n/)
    t.equal(out.slice(out.indexOf('\r\n')), message.text.slice(message.text.indexOf('\r\n')))
  })
}

torture('rfc4475/escruri', 400)
torture('rfc4475/baddate', 'accept')
torture('rfc4475/badvers', 505)
torture('rfc4475/mismatch01', 400)
torture('rfc4475/mismatch02', 501)
torture('rfc4475/badbranch', 400)
torture('rfc4475/insuf', 400)
torture('rfc4475/unkscm', 416)
torture('rfc4475/novelsc', 416)

torture('rfc4475/unksm2', 'accept', (t, message) => {
  t.equal(uriOf(message).host, 'example.com', 'a proxy goes by the Request-URI')
  t.equal(message.to?.uri?.isSip, false, 'a registrar refuses it by this')
  t.equal(message.to?.uri?.scheme, 'isbn')
})

torture('rfc4475/bext01', 'accept', (t, message) => {
  const proxy = checkProxyRequire(message, new Set(['path']))
  t.equal(proxy?.status, 420)
  t.same(proxy?.headers, [[H.unsupported, 'noProxiesSupportThis, norDoAnyProxiesSupportThis']])
  const registrar = checkRequire(message, new Set(['path']))
  t.same(registrar?.headers, [[H.unsupported, 'nothingSupportsThis, nothingSupportsThisEither']])
})

torture('rfc4475/regaut01', 'accept', (t, message) => {
  t.equal(message.value(H.authorization), 'NoOneKnowsThisScheme opaque-data=here')
})

torture('rfc4475/multi01', 400)

torture('rfc4475/bcast', 'drop', (t, message) => {
  const second = parseVia(message.values(H.via)[1] ?? '')
  t.equal(second && responseTarget(second), undefined)
})

torture('rfc4475/zeromf', 'accept', (t, message) => {
  t.equal(checkMaxForwards(message)?.status, 483, 'from a proxy; answered if it is for us')
})

torture('rfc4475/cparam01', 'accept', (t, message) => {
  const [contact] = contactsOf(message)
  t.equal(contact?.uriText, 'sip:+19725552222@gw1.example.net')
  t.equal(contact?.param('unknownparam'), '')
})

torture('rfc4475/cparam02', 'accept', (t, message) => {
  const [contact] = contactsOf(message)
  t.equal(contact?.uriText, 'sip:+19725552222@gw1.example.net;unknownparam')
  t.equal(contact?.params, '')
})

torture('rfc4475/regescrt', 'accept', (t, message) => {
  const [contact] = contactsOf(message)
  t.equal(contact?.uriText, 'sip:user@example.com?Route=%3Csip:sip.example.com%3E')
  t.equal(contact?.uri.headers, 'Route=%3Csip:sip.example.com%3E')
})

torture('rfc4475/sdp01', 'accept')

torture('rfc4475/inv2543', 'accept', (t, message) => {
  t.equal(message.topVia?.branch, '')
  t.equal(message.from?.tag, undefined)
  t.equal(message.maxForwards, undefined)
  t.equal(message.contentLength, undefined)
  t.match(message.body, /^v=0\r\n[\s\S]*AVP 0\r\n$/, 'the body goes to the end of the datagram')
})

// RFC 5118

torture('rfc5118/ipv6-good', 'accept', (t, message) => {
  t.match(uriOf(message), { host: '2001:db8::10', port: 0, user: '' })
  t.equal(contactsOf(message)[0]?.uri.host, '2001:db8::1')
})

torture('rfc5118/ipv6-bad', 400)

torture('rfc5118/port-ambiguous', 'accept', (t, message) => {
  t.match(uriOf(message), { host: '2001:db8::10:5070', port: 0 })
})

torture('rfc5118/port-unambiguous', 'accept', (t, message) => {
  t.match(uriOf(message), { host: '2001:db8::10', port: 5070 })
})

for (const path of ['rfc5118/via-received-param-with-delim', 'rfc5118/via-received-param-no-delim']) {
  torture(path, 'accept', (t, message) => {
    const via = message.topVia
    t.equal(via?.received, '2001:db8::9:255')
    t.same(via && responseTarget(via), { transport: 'udp', address: '2001:db8::9:255', port: 5060 })
    const from = { transport: 'udp', address: '2001:db8::9:200', port: 5060 } as const
    t.match(via && viaFor(via, from), /;received=2001:db8::9:200$/, 'we write no brackets')
  })
}

torture('rfc5118/ipv6-in-sdp', 'accept', (t, message) => t.match(message.body, 'c=IN IP6 2001:db8::20'))
torture('rfc5118/mult-ip-in-sdp', 'accept', (t, message) => t.equal(message.body.length, 189))

torture('rfc5118/mult-ip-in-header', 'accept', (t, message) => {
  const targets = message.values(H.via).map((text) => {
    const via = parseVia(text)
    return via && responseTarget(via)
  })
  t.same(targets, [
    { transport: 'udp', address: '2001:db8::9:1', port: 6050 },
    { transport: 'udp', address: '192.0.2.1', port: 5060 },
    { transport: 'tcp', address: '192.0.2.200', port: 5060 },
  ])
})

torture('rfc5118/ipv4-mapped-ipv6', 'accept', (t, message) => {
  t.match(message.topVia, { host: '::ffff:192.0.2.10', port: 19823 })
  t.equal(contactsOf(message)[0]?.uri.host, '::ffff:192.0.2.2')
})

torture('rfc5118/ipv6-correct-abnf-2-colons', 'accept', (t, message) => {
  t.equal(uriOf(message).host, '2001:db8::c000:201')
})

torture('rfc5118/ipv6-bug-abnf-3-colons', 'accept', (t, message) => {
  t.equal(uriOf(message).host, '2001:db8::c000:201', '::: is read as ::')
  t.equal(uriOf(message).hostPort, '[2001:db8::c000:201]', 'and never written')
})

t.test('no message of the set is left out', async (t) => {
  const files = ['rfc4475', 'rfc5118'].flatMap((set) =>
    readdirSync(new URL(set, folder)).map((file) => `${set}/${file}`),
  )
  t.same([...seen].sort(), files.sort())
})

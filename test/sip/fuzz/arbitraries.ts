import fc from 'fast-check'
import { addParams, type Facts, type ParamModel, plainText } from './facts.ts'

/**
 * Valid SIP messages (RFC 3261 §25.1), each as it goes over the wire and as what it says: so a parser is held to the
 * model, and not only to another parser. `weird` white space stands wherever the grammar lets it stand.
 */
export interface Generated {
  readonly text: string
  readonly facts: Facts
}

/** A header value: how it is written, and how what it says is told under a prefix. */
interface Value {
  readonly wire: string
  tell(facts: Facts, prefix: string): void
}

const ALPHANUM = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
const from = (characters: string) => fc.constantFrom(...characters)
const text = (characters: string, minLength: number, maxLength: number) =>
  fc.string({ unit: from(characters), minLength, maxLength })
const often = <T>(common: T, ...rare: T[]) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(common) }, { weight: 1, arbitrary: fc.constantFrom(...rare) })

/** LWS, SWS: the common form mostly. */
const lws = often(' ', '  ', '\t', '\r\n ', ' \r\n\t ')
const sws = often('', ' ', '\r\n ')
const token = text(`${ALPHANUM}-.!%*_+\`'~`, 1, 10)
const name = text(ALPHANUM, 1, 8)
const label = text('abcdefghijklmnopqrstuvwxyz0123456789', 1, 6)

/** In the spelling that our parser compares. */
const IPV6 = ['2001:db8::9:1', '2001:db8::1:0:0:1', 'fe80::a:b:c:d', '::1']
const ipv6 = fc.constantFrom(...IPV6)
/** None that nothing is sent to (RFC 4475 §3.3.10). */
const ipv4 = fc
  .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((octets) => octets.join('.'))
const hostname = fc
  .tuple(label, fc.array(label, { maxLength: 2 }))
  .map(([first, more]) => ['h', ...more, `z${first}`].join('.'))
const host = fc.oneof(
  { weight: 4, arbitrary: hostname },
  { weight: 3, arbitrary: ipv4 },
  { weight: 2, arbitrary: ipv6.map((address) => `[${address}]`) },
)
const port = fc.integer({ min: 1, max: 65_535 })
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

const escaped = fc.nat(255).map((code) => `%${code.toString(16).padStart(2, '0').toUpperCase()}`)
const pieces = (characters: string, minLength: number) =>
  fc
    .array(fc.oneof({ weight: 5, arbitrary: from(characters) }, { weight: 1, arbitrary: escaped }), {
      minLength,
      maxLength: 9,
    })
    .map((all) => all.join(''))
const MARK = "-_.!~*'()"
const userPart = pieces(`${ALPHANUM}${MARK}&=+$,;?/`, 1)
const plainUserPart = pieces(`${ALPHANUM}${MARK}&=+$/`, 1)
const password = pieces(`${ALPHANUM}${MARK}&=+$,`, 0)
const uriParam = fc
  .tuple(pieces(`${ALPHANUM}${MARK}[]/:&+$`, 1), maybe(pieces(`${ALPHANUM}${MARK}[]/:&+$`, 1)))
  .map(([key, value]) => (value === undefined ? `;${key}` : `;${key}=${value}`))
const uriParams = fc.oneof(
  fc.constant(''),
  fc.constantFrom(';lr', ';transport=tcp', ';user=phone', ';maddr=192.0.2.1;ttl=15', ';lr;ob'),
  uriParam,
)
const uriHeaders = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  {
    weight: 1,
    arbitrary: fc
      .tuple(name, pieces(`${ALPHANUM}${MARK}[]/?:+$`, 1))
      .map(([key, value]) => `?${key}=${value}`),
  },
)
const scheme = fc.constantFrom('sip', 'sip', 'sip', 'sips')
const hostPort = fc
  .tuple(host, maybe(port))
  .map(([where, number]) => (number === undefined ? where : `${where}:${number}`))
const credentialsOfUri = fc
  .tuple(userPart, maybe(password))
  .map(([user, secret]) => (secret === undefined ? `${user}@` : `${user}:${secret}@`))
const sipUri = fc
  .tuple(scheme, fc.oneof(fc.constant(''), credentialsOfUri), hostPort, uriParams)
  .map((parts) => `${parts[0]}:${parts.slice(1).join('')}`)
const telUri = fc
  .tuple(text('0123456789', 3, 12), fc.constantFrom('', ';phone-context=+49'))
  .map(([digits, context]) => (context === '' ? `tel:+${digits}` : `tel:${digits}${context}`))
const requestUri = fc.oneof({ weight: 5, arbitrary: sipUri }, { weight: 1, arbitrary: telUri })
const nameAddrUri = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(sipUri, uriHeaders).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: telUri },
)
/** Outside `<>`: no comma, semicolon or question mark (§20.10). */
const addrSpec = fc
  .tuple(scheme, plainUserPart, hostPort)
  .map(([kind, user, where]) => `${kind}:${user}@${where}`)

/** A quoted-string, decoded and as written; UTF-8 as its bytes. */
const quoted = fc
  .array(
    fc.constantFrom('a', 'B', '7', ' ', ',', ';', '<', '>', '@', '=', ':', '\\', '"', '\xc3\xa9', '\t'),
    { maxLength: 8 },
  )
  .map((characters) => ({
    value: characters.join(''),
    wire: `"${characters.join('').replace(/["\\]/g, '\\$&')}"`,
  }))
const anyEscaped = fc.constantFrom({ value: 'axb', wire: '"a\\xb"' })

interface Param extends ParamModel {
  readonly wire: string
}

function param(key: string, value: string | undefined, wire = value, around = ''): Param {
  return {
    name: key,
    value: value ?? '',
    wire: value === undefined ? key : `${key}${around}=${around}${wire}`,
  }
}

const genericParam = fc.oneof(
  { weight: 2, arbitrary: name.map((key) => param(`x${key}`, undefined)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(name, token, sws)
      .map(([key, value, around]) => param(`x${key}`, value, value, around)),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(name, quoted).map(([key, { value, wire }]) => param(`x${key}`, value, wire)),
  },
  { weight: 1, arbitrary: fc.tuple(name, host).map(([key, value]) => param(`x${key}`, value)) },
)

/** Parameters with their semicolons: some fixed ones and some of any kind, none of them twice. */
function paramsOf(
  ...own: fc.Arbitrary<Param | undefined>[]
): fc.Arbitrary<{ params: Param[]; wire: string }> {
  const generic = fc.uniqueArray(genericParam, {
    maxLength: 2,
    selector: ({ name: key }) => key.toLowerCase(),
  })
  return fc.tuple(fc.tuple(...own), generic, sws, sws).map(([fixed, more, before, behind]) => {
    const params = [...fixed.filter((one) => one !== undefined), ...more]
    return { params, wire: params.map(({ wire }) => `${before};${behind}${wire}`).join('') }
  })
}

const branch = token.map((value) => param('branch', `z9hG4bK${value}`))
const rport = maybe(
  maybe(port).map((value) => param('rport', value === undefined ? undefined : String(value))),
)
const received = maybe(fc.oneof(ipv4, ipv6).map((value) => param('received', value)))
const maddr = maybe(host.map((value) => param('maddr', value)))
const transport = fc.constantFrom('UDP', 'TCP', 'TLS', 'WS', 'WSS', 'udp', 'SCTP')

const via: fc.Arbitrary<Value> = fc
  .tuple(transport, host, maybe(port), paramsOf(branch, rport, received, maddr), sws, lws, sws)
  .map(([protocol, where, number, { params, wire }, slash, gap, colon]) => ({
    wire: `SIP${slash}/${slash}2.0${slash}/${slash}${protocol}${gap}${where}${number === undefined ? '' : `${colon}:${colon}${number}`}${wire}`,
    tell(facts, prefix) {
      facts[`${prefix}.transport`] = protocol.toLowerCase()
      facts[`${prefix}.host`] = where.replace(/[[\]]/g, '').toLowerCase()
      facts[`${prefix}.port`] = String(number ?? 0)
      addParams(facts, prefix, params)
    },
  }))

const display = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ value: '', wire: '' }) },
  {
    weight: 3,
    arbitrary: fc
      .array(token, { minLength: 1, maxLength: 3 })
      .map((words) => ({ value: words.join(' '), wire: `${words.join(' ')} ` })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.oneof(quoted, anyEscaped), sws)
      .map(([{ value, wire }, gap]) => ({ value, wire: wire + gap })),
  },
)

function address(uri: fc.Arbitrary<string>, ...own: fc.Arbitrary<Param | undefined>[]): fc.Arbitrary<Value> {
  return fc.tuple(display, uri, paramsOf(...own)).map(([called, where, { params, wire }]) => ({
    wire: `${called.wire}<${where}>${wire}`,
    tell: (facts, prefix) => tellAddress(facts, prefix, called.value, where, params),
  }))
}

function bareAddress(...own: fc.Arbitrary<Param | undefined>[]): fc.Arbitrary<Value> {
  return fc.tuple(addrSpec, paramsOf(...own)).map(([where, { params, wire }]) => ({
    wire: where + wire,
    tell: (facts, prefix) => tellAddress(facts, prefix, '', where, params),
  }))
}

function tellAddress(
  facts: Facts,
  prefix: string,
  called: string,
  where: string,
  params: readonly ParamModel[],
): void {
  facts[`${prefix}.display`] = called
  facts[`${prefix}.uri`] = where
  addParams(facts, prefix, params)
}

const tag = token.map((value) => param('tag', value))
const qvalue = maybe(fc.constantFrom('0', '1', '0.5', '0.123', '1.000').map((value) => param('q', value)))
const expires = maybe(fc.nat(7200).map((value) => param('expires', String(value))))
const party = (isTagged: fc.Arbitrary<Param | undefined>) =>
  fc.oneof(
    { weight: 3, arbitrary: address(nameAddrUri, isTagged) },
    { weight: 1, arbitrary: bareAddress(isTagged) },
  )
const contact = fc.oneof(
  { weight: 1, arbitrary: address(nameAddrUri, qvalue, expires) },
  { weight: 1, arbitrary: bareAddress(qvalue) },
)
const route = address(
  fc
    .tuple(
      scheme,
      fc.oneof(
        fc.constant(''),
        label.map((user) => `${user}@`),
      ),
      hostPort,
      fc.constantFrom(';lr', ';lr;transport=tcp', ''),
    )
    .map((parts) => `${parts[0]}:${parts.slice(1).join('')}`),
)

const credentials: fc.Arbitrary<Value> = fc
  .tuple(quoted, hostname, token, sipUri, text('0123456789abcdef', 32, 32), maybe(token), sws)
  .map(([user, realm, nonce, uri, response, cnonce, gap]) => ({
    wire:
      `Digest username=${user.wire},${gap || ' '}realm="${realm}"${gap}, nonce="${nonce}",${gap}uri="${uri}", response="${response}"` +
      (cnonce === undefined ? '' : `, qop=auth, nc=0000000a, cnonce="${cnonce}"`),
    tell(facts, prefix) {
      Object.assign(facts, {
        [`${prefix}.username`]: user.value,
        [`${prefix}.realm`]: realm,
        [`${prefix}.nonce`]: nonce,
      })
      Object.assign(facts, { [`${prefix}.uri`]: uri, [`${prefix}.response`]: response })
      if (cnonce === undefined) return
      Object.assign(facts, {
        [`${prefix}.qop`]: 'auth',
        [`${prefix}.nc`]: '0000000a',
        [`${prefix}.cnonce`]: cnonce,
      })
    },
  }))

const COMPACT: Record<string, string> = {
  via: 'v',
  from: 'f',
  to: 't',
  'call-id': 'i',
  contact: 'm',
  'content-length': 'l',
  'content-type': 'c',
  'content-encoding': 'e',
  subject: 's',
  supported: 'k',
  event: 'o',
}

/** A name in its usual, another or its compact spelling. */
function spelling(key: string): fc.Arbitrary<string> {
  const usual = key.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
  return fc.constantFrom(usual, usual, key, key.toUpperCase(), COMPACT[key] ?? usual)
}

interface Header {
  /** Lines that keep their order among each other. */
  readonly lines: readonly string[]
  tell(facts: Facts): void
}

const colon = fc.constantFrom(': ', ': ', ': ', ':', ' : ', '\t:\t', ':\r\n ')

function single(key: string, value: fc.Arbitrary<Value>): fc.Arbitrary<Header> {
  return fc.tuple(spelling(key), colon, value).map(([spelt, gap, { wire, tell }]) => ({
    lines: [spelt + gap + wire],
    tell: (facts) => tell(facts, key),
  }))
}

/** Several values, each on a line of its own or behind a comma. */
function list(
  key: string,
  value: fc.Arbitrary<Value>,
  minLength: number,
  told = tellList,
): fc.Arbitrary<Header> {
  // §7.3.1: credentials are not joined.
  const joint = key.endsWith('authorization')
    ? fc.constant('\n')
    : fc.constantFrom('\n', ',', ', ', ' ,', ',\r\n ')
  const element = fc.tuple(value, joint, spelling(key), colon)
  return fc.array(element, { minLength, maxLength: minLength + 2 }).map((elements) => {
    const lines: string[] = []
    for (const [i, [{ wire }, gap, spelt, separator]] of elements.entries()) {
      if (i === 0 || gap === '\n') lines.push(spelt + separator + wire)
      else lines.push(`${lines.pop()}${gap}${wire}`)
    }
    return {
      lines,
      tell: (facts) =>
        told(
          facts,
          key,
          elements.map(([one]) => one),
        ),
    }
  })
}

function tellList(facts: Facts, key: string, values: readonly Value[]): void {
  if (values.length > 0) facts[`${key}.count`] = String(values.length)
  for (const [i, one] of values.entries()) one.tell(facts, `${key}.${i}`)
}

const textValue = (wire: string): Value => ({
  wire,
  tell(facts, key) {
    facts[`header.${key}`] = plainText(wire)
  },
})

const tellText = (facts: Facts, key: string, values: readonly Value[]) => {
  if (values.length > 0) facts[`header.${key}`] = plainText(values.map(({ wire }) => wire).join(','))
}

const words = fc
  .tuple(
    token,
    fc.array(fc.tuple(lws, fc.oneof(token, fc.constantFrom('"a, b"', '\xe2\x82\xac', '(c)', ':', '<x>'))), {
      maxLength: 3,
    }),
  )
  .map(([first, more]) => first + more.map(([gap, word]) => gap + word).join(''))

const others: fc.Arbitrary<Header>[] = [
  single(
    'max-forwards',
    fc.nat(70).map((hops) => textValue(String(hops))),
  ),
  single('subject', words.map(textValue)),
  single('user-agent', words.map(textValue)),
  single('date', fc.constant(textValue('Sat, 13 Nov 2010 23:29:00 GMT'))),
  single(
    'expires',
    fc.nat(7200).map((value) => textValue(String(value))),
  ),
  single('event', fc.constantFrom('reg', 'presence;id=7').map(textValue)),
  single('content-encoding', fc.constant(textValue('gzip'))),
  single('x-unknown', words.map(textValue)),
  list('x-often', fc.oneof(words, fc.constant('')).map(textValue), 1, tellText),
  list('supported', fc.constantFrom('path', 'outbound', '100rel').map(textValue), 0, tellText),
  list('allow', fc.constantFrom('INVITE', 'ACK', 'BYE').map(textValue), 0, tellText),
  list('contact', contact, 1),
  list('route', route, 0),
  list('record-route', route, 0),
  list('path', route, 0),
  list('authorization', credentials, 1),
  list('proxy-authorization', credentials, 1),
]

const method = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('INVITE', 'REGISTER', 'OPTIONS', 'BYE', 'MESSAGE', 'SUBSCRIBE') },
  { weight: 1, arbitrary: token },
)

const startLine = fc.oneof(
  fc
    .tuple(method, requestUri)
    .map(([verb, uri]) => ({ verb, line: `${verb} ${uri} SIP/2.0`, facts: { method: verb, uri } as Facts })),
  fc
    .tuple(method, fc.integer({ min: 100, max: 699 }), fc.oneof(fc.constant(''), words))
    .map(([verb, status, reason]) => {
      const phrase = reason.replace(/\s+/g, ' ')
      return {
        verb,
        line: `SIP/2.0 ${status} ${phrase}`,
        facts: { status: String(status), reason: phrase } as Facts,
      }
    }),
)

const body = fc.oneof(
  fc.constant(''),
  fc
    .array(
      fc.oneof(
        fc.constantFrom('\r\n', '\r\n\r\n', 'v=0', 'Via: x', '\n'),
        fc.nat(255).map((code) => String.fromCharCode(code)),
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join('')),
)

const callId = fc
  .tuple(text(`${ALPHANUM}-.!%*_+\`'~()<>:\\"/[]?{}`, 1, 12), maybe(hostname))
  .map(([left, right]) => (right === undefined ? left : `${left}@${right}`))

const cseqOf = (verb: string) =>
  single(
    'cseq',
    fc.tuple(fc.nat(0x7f_ff_ff_ff), lws, fc.constantFrom('', '00')).map(
      ([number, gap, zeros]): Value => ({
        wire: `${zeros}${number}${gap}${verb}`,
        tell: (facts) => Object.assign(facts, { 'cseq.number': String(number), 'cseq.method': verb }),
      }),
    ),
  )

/** Valid requests and responses. */
export const generated: fc.Arbitrary<Generated> = startLine.chain(({ verb, line, facts: start }) =>
  fc
    .tuple(
      list('via', via, 1),
      single('from', party(tag)),
      single('to', party(maybe(tag))),
      single('call-id', callId.map(textValue)),
      cseqOf(verb),
      fc.subarray(others, { maxLength: 6 }).chain((chosen) => fc.tuple(...chosen)),
      body,
      fc.tuple(spelling('content-length'), colon, fc.boolean()),
      fc.infiniteStream(fc.nat()),
    )
    .map(([vias, sender, target, call, cseq, more, content, [spelt, gap, isLengthGiven], order]) => {
      const facts: Facts = { ...start, version: '2.0', body: content }
      const headers = [vias, sender, target, call, cseq, ...more]
      for (const header of headers) header.tell(facts)
      if (isLengthGiven) {
        headers.push({ lines: [`${spelt}${gap}${content.length}`], tell: () => {} })
        facts['header.content-length'] = String(content.length)
      }
      const keyed = headers.map(({ lines }) => ({ lines, key: order.next().value as number }))
      keyed.sort((a, b) => a.key - b.key)
      const all = [line, ...keyed.flatMap(({ lines }) => lines)]
      return { text: `${all.join('\r\n')}\r\n\r\n${content}`, facts }
    }),
)

const INTERESTING = [
  ...'\r\n\t \0\x7f\xff"<>@;,:=?%\\[]()/*0',
  '\r\n ',
  '\r\n\r\n',
  ';;',
  '%00',
  '\\"',
  '-1',
  '99999999999',
  'Via: x\r\n',
]

type Mutation = (text: string) => string
/** 0 to 1, evenly: fast-check's own numbers crowd at the ends. */
const at = fc.nat(0x7f_ff_ff_ff).map((n) => (Math.imul(n, 0x9e_37_79_b1) >>> 0) / 2 ** 32)
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(at, fc.constantFrom(...INTERESTING)).map(
    ([where, piece]): Mutation =>
      (whole) =>
        splice(whole, where, 0, piece),
  ),
  fc.tuple(at, fc.constantFrom(...INTERESTING)).map(
    ([where, piece]): Mutation =>
      (whole) =>
        splice(whole, where, 1, piece),
  ),
  fc.tuple(at, fc.integer({ min: 1, max: 8 })).map(
    ([where, count]): Mutation =>
      (whole) =>
        splice(whole, where, count, ''),
  ),
  fc.tuple(at, at).map(
    ([where, other]): Mutation =>
      (whole) => {
        const lines = whole.split('\r\n')
        const line = lines[Math.floor(where * lines.length)] ?? ''
        return lines.toSpliced(Math.floor(other * lines.length), 0, line).join('\r\n')
      },
  ),
)

function splice(whole: string, where: number, count: number, piece: string): string {
  const index = Math.floor(where * whole.length)
  return whole.slice(0, index) + piece + whole.slice(index + count)
}

/** IPv6 is where `sip` differs most, and hides what else there may be. */
function withoutIpv6(whole: string): string {
  return IPV6.reduce(
    (text, one) => text.replaceAll(`[${one}]`, '192.0.2.9').replaceAll(one, '192.0.2.9'),
    whole,
  )
}

/** Generated messages with one to three small damages; some are still valid. */
export const mutated: fc.Arbitrary<string> = fc
  .tuple(generated, fc.array(mutation, { minLength: 1, maxLength: 3 }))
  .map(([{ text: whole }, mutations]) =>
    mutations.reduce((damaged, mutate) => mutate(damaged), withoutIpv6(whole)),
  )

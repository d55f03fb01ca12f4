/**
 * RFC 3261 §25.1 in regular expressions, for what the differential test compares: the third opinion, which knows no
 * tolerance. Slow, and written so that nothing in it can be matched in two ways.
 */

const LWS = '(?:[ \\t]+(?:\\r\\n[ \\t]+)?|\\r\\n[ \\t]+)'
const SWS = `${LWS}?`
const ALPHANUM = 'A-Za-z0-9'
const TOKEN = `[${ALPHANUM}\\-.!%*_+\`'~]+`
const UTF8 = '(?:[\\xc2-\\xdf][\\x80-\\xbf]|[\\xe0-\\xef][\\x80-\\xbf]{2}|[\\xf0-\\xf4][\\x80-\\xbf]{3})'
const QUOTED = `"(?:[ \\t!#-\\[\\]-~]|\\r\\n[ \\t]|${UTF8}|\\\\[\\x00-\\x09\\x0b\\x0c\\x0e-\\x7f])*"`
const TEXT = `(?:[ \\t!-~]|\\r\\n[ \\t]|${UTF8})*`

const ESCAPED = '%[0-9A-Fa-f]{2}'
const of = (characters: string) => `(?:[${ALPHANUM}\\-_.!~*'()${characters}]|${ESCAPED})`
const HOSTNAME = `(?:[${ALPHANUM}](?:[${ALPHANUM}-]*[${ALPHANUM}])?\\.)*[A-Za-z](?:[${ALPHANUM}-]*[${ALPHANUM}])?\\.?`
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const IPV4 = `(?:${OCTET}\\.){3}${OCTET}`
const IPV6 = '[0-9A-Fa-f:]*:[0-9A-Fa-f:]*'
const HOST = `(?:${IPV4}|${HOSTNAME}|\\[${IPV6}\\])`
const PORT = '(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
const USERINFO = `${of('&=+$,;?/')}+(?::${of('&=+$,')}*)?@`
const URI_PARAMS = `(?:;${of('\\[\\]/:&+$')}+(?:=${of('\\[\\]/:&+$')}+)?)*`
const URI_HEADER = `${of('\\[\\]/?:+$')}+=${of('\\[\\]/?:+$')}*`
const SIP_URI = `sips?:(?:${USERINFO})?${HOST}(?::${PORT})?${URI_PARAMS}`
const TEL_URI = 'tel:(?:\\+[0-9]+|[0-9]+;phone-context=\\+[0-9]+)'
const REQUEST_URI = `(?:${SIP_URI}|${TEL_URI})`
const ADDRESS_URI = `(?:${SIP_URI}(?:\\?${URI_HEADER}(?:&${URI_HEADER})*)?|${TEL_URI})`
// §20.10: outside `<>` no comma, semicolon or question mark.
const ADDR_SPEC = `sips?:(?:${of('&=+$/')}+(?::${of('&=+$')}*)?@)?${HOST}(?::${PORT})?`

// Names and IPv4 addresses are tokens, too.
const PARAM = `${SWS};${SWS}${TOKEN}(?:${SWS}=${SWS}(?:${TOKEN}|\\[${IPV6}\\]|${QUOTED}))?`
const DISPLAY = `(?:${TOKEN}(?:${LWS}${TOKEN})*${LWS}|${QUOTED}${SWS})?`
const NAME_ADDR = `(?:${DISPLAY}<${ADDRESS_URI}>)`
const ADDRESS = `(?:${NAME_ADDR}|${ADDR_SPEC})(?:${PARAM})*`
const ROUTE = `${NAME_ADDR}(?:${PARAM})*`
const VIA_VALUE = `(?:${TOKEN}|\\[${IPV6}\\]|${IPV6}|${QUOTED})`
const VIA_PARAM = `${SWS};${SWS}${TOKEN}(?:${SWS}=${SWS}${VIA_VALUE})?`
const VIA = `SIP${SWS}/${SWS}2\\.0${SWS}/${SWS}${TOKEN}${LWS}${HOST}(?:${SWS}:${SWS}${PORT})?(?:${VIA_PARAM})*`
const list = (element: string) => `${element}(?:${SWS},${SWS}${element})*`
const DIGEST_PARAM = `${TOKEN}${SWS}=${SWS}(?:${TOKEN}|${QUOTED})`

const whole = (pattern: string) => new RegExp(`^${pattern}$`)

const HEADERS: Record<string, RegExp> = {
  via: whole(list(VIA)),
  from: whole(ADDRESS),
  to: whole(ADDRESS),
  contact: whole(`(?:\\*|${list(ADDRESS)})`),
  route: whole(list(ROUTE)),
  'record-route': whole(list(ROUTE)),
  path: whole(list(ROUTE)),
  cseq: whole(`[0-9]+${LWS}${TOKEN}`),
  'call-id': whole(
    `[${ALPHANUM}\\-.!%*_+\`'~()<>:\\\\"/[\\]?{}]+(?:@[${ALPHANUM}\\-.!%*_+\`'~()<>:\\\\"/[\\]?{}]+)?`,
  ),
  'max-forwards': whole('[0-9]+'),
  'content-length': whole('[0-9]+'),
  expires: whole('[0-9]+'),
  event: whole(`${TOKEN}(?:${PARAM})*`),
  'content-encoding': whole(list(TOKEN)),
  authorization: whole(`Digest${LWS}${list(DIGEST_PARAM)}`),
  'proxy-authorization': whole(`Digest${LWS}${list(DIGEST_PARAM)}`),
}
const OTHER = whole(TEXT)

const COMPACT: Record<string, string> = {
  v: 'via',
  f: 'from',
  t: 'to',
  m: 'contact',
  i: 'call-id',
  l: 'content-length',
  o: 'event',
  e: 'content-encoding',
  s: 'subject',
}
const ONCE = new Set([
  ...['from', 'to', 'call-id', 'cseq', 'max-forwards', 'content-length', 'expires'],
  ...['event', 'date', 'subject', 'user-agent'],
])

const REQUEST_LINE = whole(`(${TOKEN}) ${REQUEST_URI} SIP/2\\.0`)
const STATUS_LINE = whole(`SIP/2\\.0 [1-6][0-9]{2} (?:[ \\t!-~]|${UTF8})*`)
const HEADER_LINE = new RegExp(`^(${TOKEN})[ \\t]*:${SWS}([\\s\\S]*)$`)

/** Whether the text is a request or a response by the grammar, and its mandatory headers are there once (§8.1.1). */
export function isValid(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return false
  const [startLine = '', ...lines] = text.slice(0, headEnd).split(/\r\n(?![ \t])/)
  if (!REQUEST_LINE.test(startLine) && !STATUS_LINE.test(startLine)) return false
  const seen = new Set<string>()
  for (const line of lines) {
    const [, spelt = '', value = ''] = HEADER_LINE.exec(line) ?? []
    const name = COMPACT[spelt.toLowerCase()] ?? spelt.toLowerCase()
    if (name === '' || (ONCE.has(name) && seen.has(name)) || !(HEADERS[name] ?? OTHER).test(value))
      return false
    if (!isMeaningful(name, value, text.length - headEnd - 4)) return false
    seen.add(name)
  }
  return ['via', 'from', 'to', 'call-id', 'cseq'].every((name) => seen.has(name))
}

/** What the text of the RFC demands beyond its grammar. */
function isMeaningful(name: string, value: string, bodyBytes: number): boolean {
  switch (name) {
    case 'content-length':
      return Number(value) === bodyBytes
    case 'cseq':
      // §8.1.1.5
      return Number.parseInt(value, 10) < 2 ** 31
    case 'authorization':
    case 'proxy-authorization':
      return hasCredentials(value)
    default:
      return !(name in HEADERS) || !repeatsParam(value)
  }
}

const withoutQuoted = (value: string) => value.replace(/"(?:[^"\\]|\\[\s\S])*"/g, '""')
const hasRepetition = (names: readonly string[]) => new Set(names).size < names.length

/** §7.3.1: no parameter name more than once in a value. */
function repeatsParam(value: string): boolean {
  const elements = withoutQuoted(value)
    .replace(/<[^>]*>/g, '')
    .split(',')
  return elements.some((element) => {
    const params = element.split(';').slice(1)
    return hasRepetition(params.map((param) => (param.split('=')[0] ?? '').trim().toLowerCase()))
  })
}

/** RFC 7616 §3.4. */
function hasCredentials(value: string): boolean {
  const pairs = [...withoutQuoted(value).matchAll(/([^\s,=]+)\s*=\s*([^\s,]+)/g)]
  const names = pairs.map(([, name = '']) => name.toLowerCase())
  const param = (name: string) => pairs[names.indexOf(name)]?.[2]
  if (hasRepetition(names)) return false
  if (!['username', 'realm', 'nonce', 'uri', 'response'].every((name) => names.includes(name))) return false
  if (!names.includes('qop')) return !names.includes('nc') && !names.includes('cnonce')
  return (
    /^auth(-int)?$/.test(param('qop') ?? '') &&
    /^[0-9a-f]{8}$/.test(param('nc') ?? '') &&
    names.includes('cnonce')
  )
}

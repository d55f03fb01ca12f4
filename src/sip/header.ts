/**
 * The headers that Tandem routes on, as small integers, and how their names are recognised.
 * Every other header is `H.other` and passes untouched (RFC 3261 §16.6: a proxy keeps what it does not know).
 */

type HeaderSpec = readonly [name: string, compact?: string, list?: 'list']

// The order gives the ids. 'list': the grammar joins several values by commas (RFC 3261 §7.3.1).
const specs = {
  other: [''],
  via: ['Via', 'v', 'list'],
  route: ['Route', undefined, 'list'],
  recordRoute: ['Record-Route', undefined, 'list'],
  path: ['Path', undefined, 'list'],
  serviceRoute: ['Service-Route', undefined, 'list'],
  assertedIdentity: ['P-Asserted-Identity', undefined, 'list'],
  preferredIdentity: ['P-Preferred-Identity', undefined, 'list'],
  from: ['From', 'f'],
  to: ['To', 't'],
  callId: ['Call-ID', 'i'],
  cseq: ['CSeq'],
  maxForwards: ['Max-Forwards'],
  contact: ['Contact', 'm', 'list'],
  expires: ['Expires'],
  minExpires: ['Min-Expires'],
  contentLength: ['Content-Length', 'l'],
  contentType: ['Content-Type', 'c'],
  contentEncoding: ['Content-Encoding', 'e', 'list'],
  require: ['Require', undefined, 'list'],
  proxyRequire: ['Proxy-Require', undefined, 'list'],
  supported: ['Supported', 'k', 'list'],
  unsupported: ['Unsupported', undefined, 'list'],
  allow: ['Allow', undefined, 'list'],
  accept: ['Accept', undefined, 'list'],
  event: ['Event', 'o'],
  authorization: ['Authorization'],
  proxyAuthorization: ['Proxy-Authorization'],
  wwwAuthenticate: ['WWW-Authenticate'],
  proxyAuthenticate: ['Proxy-Authenticate'],
  retryAfter: ['Retry-After'],
  timestamp: ['Timestamp'],
  date: ['Date'],
  userAgent: ['User-Agent'],
  server: ['Server'],
  warning: ['Warning', undefined, 'list'],
  reason: ['Reason', undefined, 'list'],
  privacy: ['Privacy'],
} as const satisfies Record<string, HeaderSpec>

export type HeaderKey = keyof typeof specs

const keys = Object.keys(specs) as HeaderKey[]

/** Header ids: `H.via`, `H.callId`, … */
export const H = Object.fromEntries(keys.map((key, id) => [key, id])) as { readonly [K in HeaderKey]: number }

const names: readonly string[] = keys.map((key) => specs[key][0])
const listHeader: readonly boolean[] = keys.map((key) => (specs[key] as HeaderSpec)[2] === 'list')

/** The name as we write it. */
export const headerName = (id: number): string => names[id] ?? ''

const prefixes: readonly string[] = names.map((name) => `${name}: `)

/** A whole header line as we write it. */
export const headerLine = (id: number, value: string): string => `${prefixes[id]}${value}\r\n`

/** Whether the header's grammar is a comma-separated list. */
export const isListHeader = (id: number): boolean => listHeader[id] === true

// Length, first and last letter tell every name below apart, so one probe and one comparison decide.
// Measured: 25 ns a header, against 60 ns for slice + toLowerCase + Map.
const slots = 256
const slotOf = (length: number, first: number, last: number) =>
  (length + (first | 0x20) * 2 + (last | 0x20) * 31) & (slots - 1)

const idBySlot = new Uint8Array(slots)
const spellingBySlot: string[] = new Array(slots).fill('')

for (const [id, key] of keys.entries()) {
  const [name, compact] = specs[key] as HeaderSpec
  for (const spelling of [name, compact]) {
    if (!spelling) continue
    const slot = slotOf(spelling.length, spelling.charCodeAt(0), spelling.charCodeAt(spelling.length - 1))
    if (idBySlot[slot]) throw new Error(`header names ${spelling} and ${spellingBySlot[slot]} share a slot`)
    idBySlot[slot] = id
    spellingBySlot[slot] = spelling.toLowerCase()
  }
}

/** The id of the header name in `text[start, end)`, in any case, long or compact; `H.other` if it is none of ours. */
export function headerId(text: string, start: number, end: number): number {
  const slot = slotOf(end - start, text.charCodeAt(start), text.charCodeAt(end - 1))
  const spelling = spellingBySlot[slot] as string
  if (spelling.length !== end - start) return H.other
  for (let i = 0; i < spelling.length; i++) {
    const code = text.charCodeAt(start + i)
    const lower = code >= 65 && code <= 90 ? code | 0x20 : code
    if (lower !== spelling.charCodeAt(i)) return H.other
  }
  return idBySlot[slot] as number
}

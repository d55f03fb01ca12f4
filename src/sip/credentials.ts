import { COMMA, hexValue, LWS, QUOTE } from './chars.ts'
import { found, readParam, unquote } from './params.ts'
import { byteAt, equalsIgnoreCase, isOf, load, skipLws, trimEnd } from './scan.ts'

export type Qop = 'auth' | 'auth-int'

/** The value of an Authorization or Proxy-Authorization header (RFC 3261 §22, RFC 7616 §3.4). */
export interface Credentials {
  /** Unescaped; from `username*` decoded, as the bytes of its UTF-8. */
  readonly username: string
  readonly realm: string
  /** As it stands between the quotes, like `uri` and `cnonce`: that is what the client has hashed. */
  readonly nonce: string
  readonly uri: string
  readonly response: string
  /** As written, perhaps one that we do not know (`MD5-sess`, `AKAv1-MD5`); `MD5` when absent. */
  readonly algorithm: string
  /** `undefined` for a client of RFC 2069; then there are no `nc` and `cnonce` either. */
  readonly qop: Qop | undefined
  /** Hexadecimal, as written. */
  readonly nc: string | undefined
  readonly cnonce: string | undefined
  readonly opaque: string | undefined
}

/** The value of a WWW-Authenticate or Proxy-Authenticate header. */
export interface Challenge {
  readonly realm: string
  readonly nonce: string
  readonly algorithm: string
  /** What is offered and known; empty for a challenge in the style of RFC 2069. */
  readonly qop: readonly Qop[]
  readonly stale: boolean
  readonly opaque: string | undefined
}

const SCHEME = 'digest'

// The order gives the positions in the array of `readParams`.
const NAMES = [
  'username',
  'realm',
  'nonce',
  'uri',
  'response',
  'algorithm',
  'cnonce',
  'opaque',
  'qop',
  'nc',
  'username*',
  'userhash',
  'stale',
] as const
type Name = (typeof NAMES)[number]
/** Values as written, quotes included. */
type Values = Partial<Record<Name, string>>

/** @returns `undefined` for another scheme than Digest, and for what is malformed. */
export function parseCredentials(text: string): Credentials | undefined {
  const values = readParams(text)
  if (!values) return undefined
  const { nonce, uri, response } = values
  const username = readUsername(values)
  if (username === undefined || values.realm === undefined) return undefined
  if (nonce === undefined || uri === undefined || response === undefined) return undefined
  const qop = values.qop === undefined ? undefined : knownQop(unquote(values.qop))
  // RFC 7616 §3.4: improper values, and cnonce or nc missing beside qop.
  if (values.qop !== undefined && !(qop && values.cnonce !== undefined && isCount(values.nc)))
    return undefined
  return {
    username,
    realm: unquote(values.realm),
    nonce: inner(nonce),
    uri: inner(uri),
    response: inner(response),
    algorithm: values.algorithm === undefined ? 'MD5' : unquote(values.algorithm),
    qop,
    nc: qop && inner(values.nc ?? ''),
    cnonce: qop && inner(values.cnonce ?? ''),
    opaque: values.opaque && unquote(values.opaque),
  }
}

/** @returns `undefined` for another scheme than Digest, and for what is malformed. */
export function parseChallenge(text: string): Challenge | undefined {
  const values = readParams(text)
  if (values?.realm === undefined || values.nonce === undefined) return undefined
  const offered = values.qop === undefined ? [] : unquote(values.qop).split(',')
  return {
    realm: unquote(values.realm),
    nonce: inner(values.nonce),
    algorithm: values.algorithm === undefined ? 'MD5' : unquote(values.algorithm),
    qop: offered.map(knownQop).filter((qop) => qop !== undefined),
    stale: values.stale !== undefined && unquote(values.stale).toLowerCase() === 'true',
    opaque: values.opaque && unquote(values.opaque),
  }
}

/** The credentials for a realm among the values of Authorization or Proxy-Authorization (RFC 3261 §22.3: each takes its own). */
export function credentialsFor(values: readonly string[], realm: string): Credentials | undefined {
  for (const value of values) {
    const credentials = parseCredentials(value)
    if (credentials?.realm === realm) return credentials
  }
  return undefined
}

/** Whether there is a value that claims to be digest credentials and is none: RFC 7616 §3.4 wants a 400 for it. */
export function hasMalformedCredentials(values: readonly string[]): boolean {
  return values.some((value) => isDigest(value) && !parseCredentials(value))
}

function isDigest(value: string): boolean {
  return load(value) && schemeEnd(value.length) > 0
}

/** Where the scheme of the loaded text ends, if it is Digest, or -1. */
function schemeEnd(length: number): number {
  const start = skipLws(0, length)
  const end = start + SCHEME.length
  return end < length && equalsIgnoreCase(start, end, SCHEME) && isOf(LWS, end) ? end : -1
}

/** The parameters that are ours; `undefined` when malformed, or when one of them is there twice. */
function readParams(text: string): Values | undefined {
  if (!load(text)) return undefined
  const end = trimEnd(0, text.length)
  const values: Values = {}
  let i = schemeEnd(end)
  if (i < 0) return undefined
  while (i < end) {
    i = readParam(i, end)
    if (i < 0 || (i < end && byteAt(i) !== COMMA)) return undefined
    if (found.nameEnd > found.nameStart) {
      if (found.valueStart < 0 || found.valueEnd === found.valueStart) return undefined
      const name = nameFound()
      if (name && values[name] !== undefined) return undefined
      if (name) values[name] = text.slice(found.valueStart, found.valueEnd)
    }
    i++
  }
  return values
}

function nameFound(): Name | undefined {
  const length = found.nameEnd - found.nameStart
  for (const name of NAMES) {
    if (name.length === length && equalsIgnoreCase(found.nameStart, found.nameEnd, name)) return name
  }
  return undefined
}

/** RFC 7616 §3.4: one of username and username*, and no userhash, which we never offer. */
function readUsername(values: Values): string | undefined {
  const extended = values['username*']
  if (values.userhash !== undefined && unquote(values.userhash).toLowerCase() === 'true') return undefined
  if (extended === undefined) return values.username === undefined ? undefined : unquote(values.username)
  return values.username === undefined ? decodeExtended(extended) : undefined
}

/** The bytes of an ext-value (RFC 5987 §3.2): `UTF-8'en'J%C3%BCrgen`. */
function decodeExtended(value: string): string | undefined {
  const [charset, , encoded, more] = value.split("'")
  if (encoded === undefined || more !== undefined || charset?.toLowerCase() !== 'utf-8') return undefined
  if (encoded.replace(/%[0-9a-f]{2}/gi, '').includes('%')) return undefined
  return encoded.replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

function knownQop(text: string): Qop | undefined {
  const value = text.trim().toLowerCase()
  return value === 'auth' || value === 'auth-int' ? value : undefined
}

/** 8 hexadecimal digits; fewer from phones that do not fill up with zeros. */
function isCount(value: string | undefined): boolean {
  const digits = inner(value ?? '')
  if (digits.length < 1 || digits.length > 8) return false
  for (let i = 0; i < digits.length; i++) if (hexValue(digits.charCodeAt(i)) < 0) return false
  return true
}

/** Without the quotes, but with its backslashes: RFC 7616 §3.4 hashes "the value without the surrounding quotes". */
function inner(value: string): string {
  return value.charCodeAt(0) === QUOTE ? value.slice(1, -1) : value
}

import { splitList, unquote } from './params.ts'

/** The answer to a digest challenge, as an Authorization or Proxy-Authorization header brings it (RFC 7616 §3.4). */
export interface Credentials {
  readonly username: string
  readonly realm: string
  readonly nonce: string
  /** The digest-uri; not always the Request-URI, which a proxy may have changed. */
  readonly uri: string
  /** Lower-case hex. */
  readonly response: string
  /** As written; `MD5` when absent. */
  readonly algorithm: string
  /** In lower case; `undefined` for a client of RFC 2069. */
  readonly qop: string | undefined
  /** Eight hexadecimal digits. */
  readonly nc: string | undefined
  readonly cnonce: string | undefined
  readonly opaque: string | undefined
}

const SCHEME = /^digest[ \t]+/i

/** One header value; `undefined` for another scheme, and where a parameter is malformed, repeated or missing. */
export function parseCredentials(value: string): Credentials | undefined {
  if (!SCHEME.test(value)) return undefined
  const params = parseParameters(value.replace(SCHEME, ''))
  const username = params?.get('username')
  const realm = params?.get('realm')
  const nonce = params?.get('nonce')
  const uri = params?.get('uri')
  const response = params?.get('response')
  if (!params || !username || realm === undefined || !nonce || uri === undefined || !response)
    return undefined
  return {
    username,
    realm,
    nonce,
    uri,
    response: response.toLowerCase(),
    algorithm: params.get('algorithm') ?? 'MD5',
    qop: params.get('qop')?.toLowerCase(),
    nc: params.get('nc'),
    cnonce: params.get('cnonce'),
    opaque: params.get('opaque'),
  }
}

/** The credentials for a realm among several headers' (RFC 3261 §22.3: each server takes its own). */
export function credentialsFor(values: readonly string[], realm: string): Credentials | undefined {
  for (const value of values) {
    const credentials = parseCredentials(value)
    if (credentials?.realm === realm) return credentials
  }
  return undefined
}

function parseParameters(text: string): Map<string, string> | undefined {
  const params = new Map<string, string>()
  for (const part of splitList(text)) {
    const equals = part.indexOf('=')
    const name = part.slice(0, equals).trim().toLowerCase()
    // RFC 7616 §3.4: a repeated parameter makes the whole header worthless.
    if (equals < 1 || params.has(name)) return undefined
    params.set(name, unquote(part.slice(equals + 1).trim()))
  }
  return params
}

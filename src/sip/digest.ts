import { createHash, timingSafeEqual } from 'node:crypto'
import type { Credentials } from './credentials.ts'
import { quote } from './params.ts'

/** RFC 8760 §2.1. */
export type DigestAlgorithm = 'MD5' | 'SHA-256' | 'SHA-512-256'

const HASH = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const

const hex = (algorithm: DigestAlgorithm, text: string): string =>
  createHash(HASH[algorithm]).update(text, 'latin1').digest('hex')

/** The algorithm of that name, in any case. */
export function digestAlgorithm(name: string): DigestAlgorithm | undefined {
  const upper = name.toUpperCase()
  return upper in HASH ? (upper as DigestAlgorithm) : undefined
}

/** H(username:realm:password) as hex, which is what a registrar keeps in place of the password (RFC 7616 §3.4.2). */
export function ha1(algorithm: DigestAlgorithm, username: string, realm: string, password: string): string {
  return hex(algorithm, `${username}:${realm}:${password}`)
}

/**
 * Whether credentials prove the knowledge of the password behind `ha1`, in a time that does not depend on how wrong
 * they are. `body` is what `qop=auth-int` covers.
 */
export function verify(credentials: Credentials, ha1: string, method: string, body = ''): boolean {
  const algorithm = digestAlgorithm(credentials.algorithm)
  const expected = algorithm && expectedResponse(algorithm, credentials, ha1, method, body)
  if (expected === undefined || expected.length !== credentials.response.length) return false
  return timingSafeEqual(Buffer.from(expected, 'latin1'), Buffer.from(credentials.response, 'latin1'))
}

/** RFC 7616 §3.4.1; without qop RFC 2069's. */
function expectedResponse(
  algorithm: DigestAlgorithm,
  { nonce, uri, qop, nc, cnonce }: Credentials,
  ha1: string,
  method: string,
  body: string,
): string | undefined {
  switch (qop) {
    case undefined:
      return hex(algorithm, `${ha1}:${nonce}:${hex(algorithm, `${method}:${uri}`)}`)
    case 'auth':
    case 'auth-int': {
      if (nc === undefined || cnonce === undefined) return undefined
      const entity = qop === 'auth-int' ? `:${hex(algorithm, body)}` : ''
      const ha2 = hex(algorithm, `${method}:${uri}${entity}`)
      return hex(algorithm, `${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${ha2}`)
    }
    default:
      return undefined
  }
}

export interface Challenge {
  readonly realm: string
  readonly nonce: string
  readonly algorithm: DigestAlgorithm
  /** The credentials were right, but for an old nonce: the client may answer without asking its user. */
  readonly stale?: boolean
}

/** A value for WWW-Authenticate or Proxy-Authenticate (RFC 7616 §3.3, RFC 8760 §2.2). */
export function challenge({ realm, nonce, algorithm, stale }: Challenge): string {
  const isStale = stale ? ', stale=true' : ''
  return `Digest realm=${quote(realm)}, nonce="${nonce}", qop="auth", algorithm=${algorithm}${isStale}`
}

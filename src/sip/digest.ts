import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Challenge, Credentials, Qop } from './credentials.ts'
import { quote } from './params.ts'

/** RFC 8760 §2.1. */
export type DigestAlgorithm = 'MD5' | 'SHA-256' | 'SHA-512-256'

const HASHES = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const

/** The algorithm of that name, in any case. */
export function digestAlgorithm(name: string): DigestAlgorithm | undefined {
  const upper = name.toUpperCase()
  return Object.hasOwn(HASHES, upper) ? (upper as DigestAlgorithm) : undefined
}

/** Bytes as hexadecimal digits. `text` is latin1, and one-shot hashing of a string would encode it as UTF-8. */
function digest(algorithm: DigestAlgorithm, text: string): string {
  return hash(HASHES[algorithm], Buffer.from(text, 'latin1'))
}

/** H(A1), which is what is stored in place of a password. All arguments are wire text: the bytes of their UTF-8. */
export function ha1(algorithm: DigestAlgorithm, user: string, realm: string, password: string): string {
  return digest(algorithm, `${user}:${realm}:${password}`)
}

const decoys = new Map<DigestAlgorithm, string>()

/** An H(A1) that no password has, for users who do not exist: verifying costs the same, so time does not tell them. */
export function decoyHa1(algorithm: DigestAlgorithm): string {
  let decoy = decoys.get(algorithm)
  if (!decoy) {
    decoy = digest(algorithm, randomBytes(32).toString('latin1'))
    decoys.set(algorithm, decoy)
  }
  return decoy
}

/**
 * Whether the response is that of the owner of `ha1Hex` (lower case), which must be of the credentials' algorithm.
 * It takes the same time whatever is wrong. The nonce, its count and the URI are the caller's to check.
 */
export function verify(credentials: Credentials, ha1Hex: string, method: string, body = ''): boolean {
  const algorithm = digestAlgorithm(credentials.algorithm)
  // Without qop it is RFC 2069, which has only MD5.
  if (!algorithm || (!credentials.qop && algorithm !== 'MD5')) return false
  const expected = Buffer.from(responseOf(algorithm, credentials, ha1Hex, method, body), 'latin1')
  const given = Buffer.from(credentials.response.toLowerCase(), 'latin1')
  return expected.length === given.length && timingSafeEqual(expected, given)
}

type Hashed = Pick<Credentials, 'nonce' | 'nc' | 'cnonce' | 'qop' | 'uri'>

/** RFC 7616 §3.4.1; without qop RFC 2069 §2.1.2. */
function responseOf(
  algorithm: DigestAlgorithm,
  { nonce, nc, cnonce, qop, uri }: Hashed,
  ha1Hex: string,
  method: string,
  body: string,
): string {
  const a2 = qop === 'auth-int' ? `${method}:${uri}:${digest(algorithm, body)}` : `${method}:${uri}`
  const ha2 = digest(algorithm, a2)
  const middle = qop ? `${nonce}:${nc}:${cnonce}:${qop}` : nonce
  return digest(algorithm, `${ha1Hex}:${middle}:${ha2}`)
}

export interface ChallengeOptions {
  readonly realm: string
  readonly nonce: string
  readonly algorithm: DigestAlgorithm
  /** The nonce was the only thing wrong: the client tries again without asking its user. */
  readonly stale?: boolean
  readonly qop?: readonly Qop[]
}

/** One value of WWW-Authenticate or Proxy-Authenticate. */
export function challenge(options: ChallengeOptions): string {
  const { realm, nonce, algorithm, stale = false, qop = ['auth'] } = options
  const offered = qop.length > 0 ? `, qop="${qop.join(',')}"` : ''
  return `Digest realm=${quote(realm)}, nonce="${nonce}", algorithm=${algorithm}${offered}${stale ? ', stale=true' : ''}`
}

/** One value, and so one header line, for each algorithm: the client takes the topmost that it knows (RFC 8760 §2.4). */
export function challenges(
  options: Omit<ChallengeOptions, 'algorithm'> & { algorithms: readonly DigestAlgorithm[] },
): string[] {
  const { algorithms, ...rest } = options
  return algorithms.map((algorithm) => challenge({ ...rest, algorithm }))
}

export interface AnswerOptions {
  readonly username: string
  readonly password: string
  readonly method: string
  readonly uri: string
  /** Given together with `nc`, it answers with a qop; without it in the style of RFC 2069. */
  readonly cnonce?: string | undefined
  readonly nc?: number
  readonly body?: string
}

/**
 * A client's answer, as the value of Authorization or Proxy-Authorization; `undefined` if we do not know the algorithm.
 * It takes the first qop that the challenge offers.
 */
export function answer(to: Challenge, options: AnswerOptions): string | undefined {
  const { realm, nonce, opaque } = to
  const algorithm = digestAlgorithm(to.algorithm)
  if (!algorithm) return undefined
  const { username, password, method, uri, cnonce, body = '' } = options
  const qop = cnonce === undefined ? undefined : to.qop[0]
  const nc = qop && (options.nc ?? 1).toString(16).padStart(8, '0')
  const secret = ha1(algorithm, username, realm, password)
  const response = responseOf(algorithm, { nonce, nc, cnonce, qop, uri }, secret, method, body)
  const counted = qop ? `, qop=${qop}, nc=${nc}, cnonce="${cnonce}"` : ''
  const returned = opaque === undefined ? '' : `, opaque=${quote(opaque)}`
  return (
    `Digest username=${quote(username)}, realm=${quote(realm)}, nonce="${nonce}", uri="${uri}", ` +
    `response="${response}", algorithm=${algorithm}${counted}${returned}`
  )
}

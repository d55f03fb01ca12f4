import type { SubscriberRow } from '../db/subscriber-store.ts'
import type { Logger } from '../src/ops/logging.ts'
import { type Credentials, credentialsFor, hasMalformedCredentials } from '../src/sip/credentials.ts'
import { challenges, type DigestAlgorithm, decoyHa1, digestAlgorithm, verify } from '../src/sip/digest.ts'
import { coversRequestUri } from '../src/sip/digest-uri.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import type { NonceMint } from '../src/sip/nonce.ts'
import { NonceCounts } from '../src/sip/nonce-counts.ts'
import type { HeaderField } from '../src/sip/response.ts'
import type { Defect } from '../src/sip/validate.ts'
import type { Aor, Directory } from './directory.ts'

export interface AuthenticatorOptions {
  readonly directory: Directory
  /** The realm of a domain that is served here. */
  readonly realmOf: (domain: string) => string
  readonly nonces: NonceMint
  /** Those offered, the preferred one first (RFC 8760 §2.4). */
  readonly algorithms: readonly DigestAlgorithm[]
  readonly log: Logger
}

const FORBIDDEN: Defect = { status: 403, reason: 'Forbidden' }
const MALFORMED: Defect = { status: 400, reason: 'Malformed Credentials' }
const OTHER_URI: Defect = { status: 400, reason: 'Credentials For Another URI' }

/**
 * Digest authentication of the users of this group (RFC 3261 §22, RFC 7616, RFC 8760).
 *
 * What one member has authenticated cannot be replayed to it: a nonce is good once for each count, and once for a
 * client that does not count; what is merely repeated, and so changes nothing, passes. The other members do not know the
 * counts; one that takes over accepts a replay once, while its nonce lives.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #counts: NonceCounts

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#counts = new NonceCounts(options.nonces)
  }

  /**
   * Whether a request is really from the user it names: `undefined` if so, else the refusal. `isRepeated` tells whether one
   * whose nonce has been used is a copy of the request that has used it.
   * @throws what the directory throws: then nobody knows, and that is no wrong password
   */
  async challenge(
    request: Message,
    aor: Aor,
    isRepeated: () => boolean = () => false,
  ): Promise<Defect | undefined> {
    const realm = this.#options.realmOf(aor.domain)
    const values = request.values(H.authorization)
    const credentials = credentialsFor(values, realm)
    if (!credentials) return hasMalformedCredentials(values) ? MALFORMED : this.#unauthorized(realm)
    const verdict = this.#options.nonces.check(credentials.nonce, realm)
    if (verdict === 'forged') return this.#unauthorized(realm)
    const subscriber = await this.#options.directory.find(aor)
    if (!this.#proves(credentials, subscriber, aor, request)) {
      this.#options.log.warn({ aor: aor.key, callId: request.callId }, 'authentication failed')
      return this.#unauthorized(realm)
    }
    if (isForAnother(credentials, request)) return OTHER_URI
    const isFresh = verdict === 'good' && this.#counts.use(credentials.nonce, credentials.nc) === 'good'
    if (!isFresh && !isRepeated()) return this.#unauthorized(realm, true)
    return subscriber?.enabled ? undefined : FORBIDDEN
  }

  #proves(
    credentials: Credentials,
    subscriber: SubscriberRow | undefined,
    aor: Aor,
    request: Message,
  ): boolean {
    const algorithm = digestAlgorithm(credentials.algorithm)
    // One that was not offered would be a downgrade; the `-sess` variants never are.
    if (!algorithm || !this.#options.algorithms.includes(algorithm)) return false
    const secret = subscriber && ha1Of(subscriber, algorithm)
    // Checked also where there is no HA1, so that it takes as long as where there is one.
    const isRight = verify(credentials, secret ?? decoyHa1(algorithm), request.requestMethod, request.body)
    return isRight && typeof secret === 'string' && credentials.username === aor.user
  }

  #unauthorized(realm: string, stale = false): Defect {
    const { nonces, algorithms } = this.#options
    const values = challenges({ realm, nonce: nonces.mint(realm), algorithms, stale })
    return {
      status: 401,
      reason: 'Unauthorized',
      headers: values.map((value): HeaderField => [H.wwwAuthenticate, value]),
    }
  }
}

/** A REGISTER rings nobody, and the realm says whose it is: there, phones write what they like. */
function isForAnother(credentials: Credentials, request: Message): boolean {
  return request.requestMethod !== 'REGISTER' && !coversRequestUri(credentials.uri, request.requestUri)
}

function ha1Of(row: SubscriberRow, algorithm: DigestAlgorithm): string | null {
  switch (algorithm) {
    case 'MD5':
      return row.ha1Md5
    case 'SHA-256':
      return row.ha1Sha256
    case 'SHA-512-256':
      return row.ha1Sha512256
  }
}

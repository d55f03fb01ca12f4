import type { SubscriberRow } from '../db/subscriber-store.ts'
import type { Logger } from '../src/ops/logging.ts'
import { type Credentials, credentialsFor } from '../src/sip/credentials.ts'
import { challenge, type DigestAlgorithm, digestAlgorithm, ha1, verify } from '../src/sip/digest.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import type { NonceMint } from '../src/sip/nonce.ts'
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

/** What is checked where there is no HA1, so that it takes as long as where there is one. */
const DECOY: Readonly<Record<DigestAlgorithm, string>> = {
  MD5: ha1('MD5', '', '', ''),
  'SHA-256': ha1('SHA-256', '', '', ''),
  'SHA-512-256': ha1('SHA-512-256', '', '', ''),
}

const FORBIDDEN: Defect = { status: 403, reason: 'Forbidden' }

/** Digest authentication of the users of this group (RFC 3261 §22, RFC 7616, RFC 8760). */
export class Authenticator {
  readonly #options: AuthenticatorOptions

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /**
   * Whether a request is really from the user it names: `undefined` if so, else the refusal.
   * @throws what the directory throws: then nobody knows, and that is no wrong password
   */
  async challenge(request: Message, aor: Aor): Promise<Defect | undefined> {
    const realm = this.#options.realmOf(aor.domain)
    const credentials = credentialsFor(request.values(H.authorization), realm)
    if (!credentials) return this.#unauthorized(realm)
    const verdict = this.#options.nonces.check(credentials.nonce, realm)
    if (verdict === 'forged') return this.#unauthorized(realm)
    const subscriber = await this.#options.directory.find(aor)
    const isRight = proves(credentials, subscriber, aor, request)
    if (!isRight || !subscriber) {
      this.#options.log.warn({ aor: aor.key, callId: request.callId }, 'authentication failed')
      return this.#unauthorized(realm)
    }
    if (verdict === 'stale') return this.#unauthorized(realm, true)
    return subscriber.enabled ? undefined : FORBIDDEN
  }

  #unauthorized(realm: string, stale = false): Defect {
    const { nonces, algorithms } = this.#options
    const nonce = nonces.mint(realm)
    const headers = algorithms.map(
      (algorithm): HeaderField => [H.wwwAuthenticate, challenge({ realm, nonce, algorithm, stale })],
    )
    return { status: 401, reason: 'Unauthorized', headers }
  }
}

function proves(
  credentials: Credentials,
  subscriber: SubscriberRow | undefined,
  aor: Aor,
  request: Message,
): boolean {
  const algorithm = digestAlgorithm(credentials.algorithm)
  if (!algorithm) return false
  const secret = subscriber && ha1Of(subscriber, algorithm)
  const isRight = verify(credentials, secret ?? DECOY[algorithm], request.requestMethod, request.body)
  return isRight && typeof secret === 'string' && credentials.username === aor.user
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

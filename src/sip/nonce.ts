import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../ops/clock.ts'
import type { ClusterKeys } from '../ops/cluster-keys.ts'

const TIME_BYTES = 6
const RANDOM_BYTES = 6
const MAC_BYTES = 12
const BODY_BYTES = TIME_BYTES + RANDOM_BYTES

/** How long a nonce may be used, in milliseconds. */
const LIFETIME_MS = 5 * 60_000
/** Members' clocks differ a little. */
const SKEW_MS = 30_000

export type NonceVerdict = 'good' | 'stale' | 'forged'

/**
 * Digest nonces that every member of the cluster can check without having made them: the time and a random part,
 * signed for a scope (the realm) under the cluster's key.
 */
export class NonceMint {
  readonly #keys: () => ClusterKeys
  readonly #clock: Clock

  constructor(keys: () => ClusterKeys, clock: Clock) {
    this.#keys = keys
    this.#clock = clock
  }

  /** base64url: nothing in it needs quoting. */
  mint(scope: string): string {
    const body = Buffer.allocUnsafe(BODY_BYTES)
    body.writeUIntBE(this.#clock.now(), 0, TIME_BYTES)
    randomBytes(RANDOM_BYTES).copy(body, TIME_BYTES)
    return Buffer.concat([body, mac(this.#keys().current, scope, body)]).toString('base64url')
  }

  check(nonce: string, scope: string): NonceVerdict {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== BODY_BYTES + MAC_BYTES) return 'forged'
    const body = bytes.subarray(0, BODY_BYTES)
    const given = bytes.subarray(BODY_BYTES)
    const { current, previous } = this.#keys()
    const genuine = [current, previous].some((key) => key && timingSafeEqual(mac(key, scope, body), given))
    if (!genuine) return 'forged'
    const ageMs = this.#clock.now() - body.readUIntBE(0, TIME_BYTES)
    return ageMs <= LIFETIME_MS && ageMs >= -SKEW_MS ? 'good' : 'stale'
  }
}

const mac = (key: Uint8Array, scope: string, body: Buffer): Buffer =>
  // The label keeps this use of the key apart from its others.
  createHmac('sha256', key).update(`nonce\0${scope}\0`).update(body).digest().subarray(0, MAC_BYTES)

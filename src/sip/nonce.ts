import { randomInt, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../ops/clock.ts'
import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { KeyedHash } from './keyed-hash.ts'

export type NonceVerdict = 'good' | 'stale' | 'forged'

/** What a nonce's text says; only {@link NonceMint.check} knows whether it is true. */
interface NonceParts {
  readonly mintedMs: number
  readonly serial: number
}

export interface NonceMintOptions {
  /** How long a nonce is good for. */
  readonly lifetimeMs?: number
  /** How far the clocks of two members may be apart. */
  readonly skewMs?: number
}

const DEFAULT_LIFETIME_MS = 300_000
const DEFAULT_SKEW_MS = 10_000

// base64url text, which needs no quoting: 48 bits of time, 48 of serial number, 96 of signature.
const NUMBER_CHARS = 8
const SIGNED_CHARS = 2 * NUMBER_CHARS
const MAC_CHARS = 16
const NONCE_CHARS = SIGNED_CHARS + MAC_CHARS
const SERIALS = 2 ** 48

/**
 * Digest nonces that every member of the cluster can check, so that a challenge from the master may be answered at
 * the slave. The scope, the realm, is signed but not contained. The current key signs, the previous and the next are accepted.
 */
export class NonceMint {
  readonly lifetimeMs: number
  readonly skewMs: number
  /** By which it mints and checks. */
  readonly clock: Clock
  readonly #keys: () => ClusterKeys
  readonly #signers = new Map<Uint8Array, KeyedHash>()
  #serial = randomInt(SERIALS - 1)

  constructor(keys: () => ClusterKeys, clock: Clock, options: NonceMintOptions = {}) {
    this.#keys = keys
    this.clock = clock
    this.lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS
    this.skewMs = options.skewMs ?? DEFAULT_SKEW_MS
  }

  mint(scope: string): string {
    // A serial number in place of a random one saves 1 µs; what makes a nonce unpredictable is its signature.
    this.#serial = (this.#serial + 1) % SERIALS
    const signed = encode48(Math.floor(this.clock.now())) + encode48(this.#serial)
    return signed + this.#sign(this.#keys().current, signed, scope)
  }

  /** `forged`: no member of this cluster minted it, for this scope, with a key that is still known. */
  check(nonce: string, scope: string): NonceVerdict {
    const parts = readNonce(nonce)
    if (!parts || !this.#isGenuine(nonce, scope)) return 'forged'
    const ageMs = this.clock.now() - parts.mintedMs
    return ageMs <= this.lifetimeMs && ageMs >= -this.skewMs ? 'good' : 'stale'
  }

  #isGenuine(nonce: string, scope: string): boolean {
    const signed = nonce.slice(0, SIGNED_CHARS)
    const given = Buffer.from(nonce.slice(SIGNED_CHARS), 'latin1')
    const { current, previous, next } = this.#keys()
    for (const key of [current, previous, next]) {
      if (key && timingSafeEqual(Buffer.from(this.#sign(key, signed, scope), 'latin1'), given)) return true
    }
    return false
  }

  #sign(key: Uint8Array, signed: string, scope: string): string {
    return this.#signer(key)
      .mac(signed + scope)
      .slice(0, MAC_CHARS)
  }

  #signer(key: Uint8Array): KeyedHash {
    let signer = this.#signers.get(key)
    if (!signer) {
      // Three keys are in use at a time; after a rotation the oldest is forgotten.
      if (this.#signers.size >= 3) this.#signers.clear()
      signer = new KeyedHash(key, 'nonce')
      this.#signers.set(key, signer)
    }
    return signer
  }
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const digitValues = new Int8Array(256).fill(-1)
for (let i = 0; i < DIGITS.length; i++) digitValues[DIGITS.charCodeAt(i)] = i

/** A number below 2^48 as 8 characters, most significant first. */
function encode48(value: number): string {
  return encode24(Math.floor(value / 2 ** 24)) + encode24(value % 2 ** 24)
}

function encode24(value: number): string {
  return (
    DIGITS.charAt((value >> 18) & 63) +
    DIGITS.charAt((value >> 12) & 63) +
    DIGITS.charAt((value >> 6) & 63) +
    DIGITS.charAt(value & 63)
  )
}

/** What a text of the form of our nonces says; `undefined` for any other text. */
export function readNonce(nonce: string): NonceParts | undefined {
  if (nonce.length !== NONCE_CHARS) return undefined
  const mintedMs = decode48(nonce, 0)
  const serial = decode48(nonce, NUMBER_CHARS)
  return mintedMs < 0 || serial < 0 ? undefined : { mintedMs, serial }
}

/** -1 if a character is none of base64url. */
function decode48(text: string, start: number): number {
  let value = 0
  for (let i = start; i < start + NUMBER_CHARS; i++) {
    const digit = digitValues[text.charCodeAt(i)] ?? -1
    if (digit < 0) return -1
    value = value * 64 + digit
  }
  return value
}

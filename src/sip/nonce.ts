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
 * the slave. The scope, the realm, is signed but not contained. The current key signs, the previous one is accepted.
 */
export class NonceMint {
  readonly lifetimeMs: number
  readonly skewMs: number
  readonly #keys: () => ClusterKeys
  readonly #clock: Clock
  readonly #signers = new Map<Uint8Array, KeyedHash>()
  #serial = randomInt(SERIALS - 1)

  constructor(keys: () => ClusterKeys, clock: Clock, options: NonceMintOptions = {}) {
    this.#keys = keys
    this.#clock = clock
    this.lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS
    this.skewMs = options.skewMs ?? DEFAULT_SKEW_MS
  }

  mint(scope: string): string {
    // A serial number in place of a random one saves 1 µs; what makes a nonce unpredictable is its signature.
    this.#serial = (this.#serial + 1) % SERIALS
    const signed = encode48(Math.floor(this.#clock.now())) + encode48(this.#serial)
    return signed + this.#sign(this.#keys().current, signed, scope)
  }

  /** `forged`: no member of this cluster minted it, for this scope, with a key that is still known. */
  check(nonce: string, scope: string): NonceVerdict {
    const parts = readNonce(nonce)
    if (!parts || !this.#isGenuine(nonce, scope)) return 'forged'
    const ageMs = this.#clock.now() - parts.mintedMs
    return ageMs <= this.lifetimeMs && ageMs >= -this.skewMs ? 'good' : 'stale'
  }

  #isGenuine(nonce: string, scope: string): boolean {
    const signed = nonce.slice(0, SIGNED_CHARS)
    const given = Buffer.from(nonce.slice(SIGNED_CHARS), 'latin1')
    const { current, previous } = this.#keys()
    for (const key of [current, previous]) {
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
      // Two keys are in use at a time; after a rotation the oldest is forgotten.
      if (this.#signers.size >= 2) this.#signers.clear()
      signer = new KeyedHash(key, 'nonce')
      this.#signers.set(key, signer)
    }
    return signer
  }
}

export interface NonceCountsOptions {
  /** That of the mint, together with its skew: how long a used nonce must be remembered. */
  readonly lifetimeMs?: number
  /** At most this many nonces are remembered; about 60 bytes each. */
  readonly max?: number
}

/** A younger and an older half: dropping the older one forgets in constant time, and never stops the event loop. */
interface Generation {
  readonly counts: Map<number, number>
  readonly startedMs: number
  /** When the newest nonce in it was minted. */
  newestMs: number
}

/** How many counts below the highest may still arrive: requests overtake each other. */
const WINDOW = 21
const WINDOW_BITS = 2 ** WINDOW
const ALL_USED = WINDOW_BITS - 1

/**
 * Nonce counts that have been used (RFC 7616 §3.4: the server may check that nc is not repeated). Ask only after the
 * response has been verified, so that nobody without a password can fill the table.
 *
 * It never takes a replay for new: a nonce that may have been forgotten, because the table is full, is `stale`, and
 * the client asks for a new one. Each process counts for itself: a request can be replayed at another member, once,
 * until its nonce expires. A nonce without nc (RFC 2069) is good for one request.
 *
 * node-cache would take a string and an object for each and walk them all at intervals; this takes two numbers.
 */
export class NonceCounts {
  readonly #clock: Clock
  readonly #lifetimeMs: number
  readonly #half: number
  #young: Generation
  #old: Generation
  /** Nonces minted up to here may have been forgotten. */
  #forgottenMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, options: NonceCountsOptions = {}) {
    this.#clock = clock
    this.#lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS + DEFAULT_SKEW_MS
    this.#half = Math.max(1, Math.floor((options.max ?? 400_000) / 2))
    this.#young = this.#generation()
    this.#old = this.#generation()
  }

  /** How many nonces are remembered (one that was used in both halves counts twice). */
  get size(): number {
    return this.#young.counts.size + this.#old.counts.size
  }

  /** Marks `nc` (hexadecimal) of a nonce that was checked as used; `stale` when it was used before, or may have been. */
  use(nonce: string, nc: string | undefined): 'good' | 'stale' {
    const parts = readNonce(nonce)
    const count = nc === undefined ? 0 : Number.parseInt(nc, 16)
    if (!parts || Number.isNaN(count)) return 'stale'
    this.#rotate()
    const known = this.#young.counts.get(parts.serial) ?? this.#old.counts.get(parts.serial)
    if (known === undefined && parts.mintedMs <= this.#forgottenMs) return 'stale'
    // Counts below the first one seen here may have been used at another member.
    const next = known === undefined ? count * WINDOW_BITS + ALL_USED : advance(known, count)
    if (next < 0) return 'stale'
    this.#young.counts.set(parts.serial, next)
    this.#young.newestMs = Math.max(this.#young.newestMs, parts.mintedMs)
    return 'good'
  }

  #rotate(): void {
    const ageMs = this.#clock.monotonicMs() - this.#young.startedMs
    if (ageMs < this.#lifetimeMs && this.#young.counts.size < this.#half) return
    this.#forgottenMs = Math.max(this.#forgottenMs, this.#old.newestMs)
    this.#old = this.#young
    this.#young = this.#generation()
  }

  #generation(): Generation {
    return {
      counts: new Map(),
      startedMs: this.#clock.monotonicMs(),
      newestMs: Number.NEGATIVE_INFINITY,
    }
  }
}

/**
 * What is known of a nonce is one number: the highest count, times 2^21, plus a bit for each of the 21 counts below
 * it that was used. Returns it with `count` added, or -1 if that was used or lies below the window.
 */
function advance(known: number, count: number): number {
  const highest = Math.floor(known / WINDOW_BITS)
  const used = known % WINDOW_BITS
  const below = highest - count
  if (below < 0) {
    const shifted = -below > WINDOW ? 0 : ((used * 2 + 1) * 2 ** (-below - 1)) % WINDOW_BITS
    return count * WINDOW_BITS + shifted
  }
  if (below === 0 || below > WINDOW) return -1
  const bit = 1 << (below - 1)
  return (used & bit) !== 0 ? -1 : known + bit
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

function readNonce(nonce: string): NonceParts | undefined {
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

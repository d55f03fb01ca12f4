import type { Clock } from '../ops/clock.ts'
import { type NonceMint, readNonce } from './nonce.ts'

export interface NonceCountsOptions {
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

const DEFAULT_MAX = 400_000

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

  /** `mint` says how long a nonce must be remembered, and by which clock. */
  constructor(mint: Pick<NonceMint, 'clock' | 'lifetimeMs' | 'skewMs'>, options: NonceCountsOptions = {}) {
    this.#clock = mint.clock
    this.#lifetimeMs = mint.lifetimeMs + mint.skewMs
    this.#half = Math.max(1, Math.floor((options.max ?? DEFAULT_MAX) / 2))
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

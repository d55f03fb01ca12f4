import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { KeyedHash } from '../sip/keyed-hash.ts'

/** The hashes of one purpose under the cluster's keys, of which the current one signs and all are accepted. */
export class ClusterHash {
  readonly #keys: () => ClusterKeys
  readonly #purpose: string
  readonly #hashes = new Map<Uint8Array, KeyedHash>()

  constructor(keys: () => ClusterKeys, purpose: string) {
    this.#keys = keys
    this.#purpose = purpose
  }

  /** The one that signs. */
  get current(): KeyedHash {
    return this.#of(this.#keys().current)
  }

  /** Whether `isGenuine` says so of the current key, the previous or the next one. */
  accepts(isGenuine: (hash: KeyedHash) => boolean): boolean {
    const { current, previous, next } = this.#keys()
    return isGenuine(this.#of(current)) || this.#isBy(previous, isGenuine) || this.#isBy(next, isGenuine)
  }

  #isBy(key: Uint8Array | undefined, isGenuine: (hash: KeyedHash) => boolean): boolean {
    return key !== undefined && isGenuine(this.#of(key))
  }

  #of(key: Uint8Array): KeyedHash {
    let hash = this.#hashes.get(key)
    if (!hash) {
      // Three keys are in use at a time; after a rotation the oldest is forgotten.
      if (this.#hashes.size >= 3) this.#hashes.clear()
      hash = new KeyedHash(key, this.#purpose)
      this.#hashes.set(key, hash)
    }
    return hash
  }
}

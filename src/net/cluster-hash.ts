import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { KeyedHash } from '../sip/keyed-hash.ts'

/** The hashes of one purpose under the cluster's keys, of which the current one signs and both are accepted. */
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

  /** Whether `isGenuine` says so of the current key or of the previous one. */
  accepts(isGenuine: (hash: KeyedHash) => boolean): boolean {
    const { current, previous } = this.#keys()
    return isGenuine(this.#of(current)) || (previous !== undefined && isGenuine(this.#of(previous)))
  }

  #of(key: Uint8Array): KeyedHash {
    let hash = this.#hashes.get(key)
    if (!hash) {
      // Two keys are in use at a time; after a rotation the oldest is forgotten.
      if (this.#hashes.size >= 2) this.#hashes.clear()
      hash = new KeyedHash(key, this.#purpose)
      this.#hashes.set(key, hash)
    }
    return hash
  }
}

import NodeCache from 'node-cache'
import type { SubscriberRow } from '../db/subscriber-store.ts'
import { canonicalUserOf } from '../src/partition/canonical-user.ts'
import { slotOf } from '../src/partition/slot.ts'
import type { Uri } from '../src/sip/uri.ts'

/** An address of record: whom a request is for. */
export interface Aor {
  /** `user@domain`, canonical: equal for equal AORs. */
  readonly key: string
  readonly user: string
  readonly domain: string
  /** What decides which group it belongs to. */
  readonly identity: string
  readonly slot: number
}

/** Seconds for which a user who is not in PostgreSQL is not asked for again. */
const MISS_SEC = 5
/** Misses remembered at most; then all are forgotten, and asked for again. */
const MISSES = 100_000
/** How many {@link Directory.forget} looks at in one go: about a millisecond's work. */
const CHUNK = 5_000

/** `identity` is what the map hashes (`PartitionMap.identityOf`): the user, or in some domains the whole AOR. */
export function aorOf(uri: Uri, identity = canonicalUserOf(uri)): Aor {
  const user = canonicalUserOf(uri)
  return { key: `${user}@${uri.host}`, user, domain: uri.host, identity, slot: slotOf(identity) }
}

/**
 * The subscribers of this group, in memory. One that is not there is looked for in PostgreSQL once, since a DBA may
 * have added it a moment ago.
 */
export class Directory {
  #subscribers = new Map<string, SubscriberRow>()
  #misses = new NodeCache({ stdTTL: MISS_SEC, useClones: false })
  #asking = new Map<string, Promise<SubscriberRow | undefined>>()
  #readThrough: (aor: Aor) => Promise<SubscriberRow | undefined>

  constructor(readThrough: (aor: Aor) => Promise<SubscriberRow | undefined>) {
    this.#readThrough = readThrough
  }

  get size(): number {
    return this.#subscribers.size
  }

  put(row: SubscriberRow): void {
    this.#subscribers.set(`${row.user}@${row.domain}`, row)
  }

  remove(user: string, domain: string): void {
    this.#subscribers.delete(`${user}@${domain}`)
  }

  /** Forgets everybody in these slots, without stopping the event loop for long. */
  async forget(isLost: (slot: number) => boolean): Promise<void> {
    let looked = 0
    for (const [key, { slot }] of this.#subscribers) {
      if (isLost(slot)) this.#subscribers.delete(key)
      if (++looked % CHUNK === 0) await new Promise(setImmediate)
    }
  }

  /** `undefined` for somebody who does not exist. @throws what reading PostgreSQL throws: then nobody knows */
  async find(aor: Aor): Promise<SubscriberRow | undefined> {
    const known = this.#subscribers.get(aor.key)
    if (known || this.#misses.has(aor.key)) return known
    let answer = this.#asking.get(aor.key)
    if (!answer) {
      answer = this.#ask(aor).finally(() => this.#asking.delete(aor.key))
      this.#asking.set(aor.key, answer)
    }
    return answer
  }

  async #ask(aor: Aor): Promise<SubscriberRow | undefined> {
    const row = await this.#readThrough(aor)
    if (row) this.put(row)
    else this.#remember(aor)
    return row
  }

  #remember(aor: Aor): void {
    if (this.#misses.getStats().keys >= MISSES) this.#misses.flushAll()
    this.#misses.set(aor.key, true)
  }

  /** Stops its timer. */
  close(): void {
    this.#misses.close()
  }
}

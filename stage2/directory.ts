import { setImmediate as nextTurn } from 'node:timers/promises'
import NodeCache from 'node-cache'
import type { SubscriberRow } from '../db/subscriber-store.ts'
import { canonicalUserOf } from '../src/partition/canonical-user.ts'
import { slotOf } from '../src/partition/slot.ts'
import type { Uri } from '../src/sip/uri.ts'
import { readSubscriber, SUBSCRIBER_BYTES, slotAt, writeSubscriber } from './memory/packed-subscribers.ts'
import { PackedTable, type Place } from './memory/packed-table.ts'

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
  readonly #subscribers = new PackedTable()
  readonly #scratch = Buffer.allocUnsafeSlow(SUBSCRIBER_BYTES)
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
    this.#subscribers.set(`${row.user}@${row.domain}`, this.#scratch, writeSubscriber(row, this.#scratch))
  }

  remove(user: string, domain: string): void {
    this.#subscribers.delete(`${user}@${domain}`)
  }

  /** Forgets everybody in these slots, without stopping the event loop for long. */
  async forget(isLost: (slot: number) => boolean): Promise<void> {
    let part = 0
    do {
      const lost: string[] = []
      part = this.#subscribers.visit(part, (place) => {
        if (isLost(slotAt(place.bytes, place.start))) lost.push(this.#subscribers.keyOf(place))
      })
      for (const key of lost) this.#subscribers.delete(key)
      await nextTurn()
    } while (part !== 0)
  }

  /** All subscribers in batches. What is there all the time comes exactly once; between two batches the event loop turns. */
  async *all(): AsyncGenerator<readonly SubscriberRow[], void, void> {
    for (let part = 0, isLast = false; !isLast; ) {
      const batch: SubscriberRow[] = []
      part = this.#subscribers.visit(part, (place) => batch.push(this.#row(place)))
      isLast = part === 0
      yield batch
      await nextTurn()
    }
  }

  /** `undefined` for somebody who does not exist. @throws what reading PostgreSQL throws: then nobody knows */
  async find(aor: Aor): Promise<SubscriberRow | undefined> {
    const place = this.#subscribers.get(aor.key)
    if (place) return this.#row(place)
    if (this.#misses.has(aor.key)) return undefined
    let answer = this.#asking.get(aor.key)
    if (!answer) {
      answer = this.#ask(aor).finally(() => this.#asking.delete(aor.key))
      this.#asking.set(aor.key, answer)
    }
    return answer
  }

  #row(place: Place): SubscriberRow {
    const key = this.#subscribers.keyOf(place)
    const at = key.lastIndexOf('@')
    return readSubscriber(place.bytes, place.start, key.slice(0, at), key.slice(at + 1))
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

import { randomInt } from 'node:crypto'
import { HashIndex } from './hash-index.ts'
import { read16, read32, write16, write32 } from './packed-integers.ts'
import { SegmentLog } from './segment-log.ts'

/*
 * A record: the log's word, length of the value (4 bytes), length of the key (2 bytes), key, value.
 */
const VALUE_LENGTH = 4
const KEY_LENGTH = 8
const KEY = 10

/** What one change moves at most: less than a millisecond's work. */
const MOST_MOVED_BYTES = 256 * 1024

/** Where a value lies: from `start` to `end` in `bytes`. Good until the next call of the table. */
export interface Place {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  /** The record's. */
  readonly ref: number
}

export interface PackedTableOptions {
  /** Powers of two; smaller ones make a table grow and tidy up sooner, for tests. */
  readonly segmentBytes?: number
  readonly bucketSlots?: number
}

/**
 * A map from texts (one byte a character, at most 65,535) to bytes that keeps both outside V8's heap, where a million of them are no objects
 * for the garbage collector to visit, and cost what they are long and some 25 bytes more. Every operation takes
 * constant time, amortised and at its worst: growth and compaction go in small steps, a few with each change.
 */
export class PackedTable {
  readonly #log: SegmentLog
  readonly #index: HashIndex
  /** Nobody outside can tell which keys share a bucket. */
  readonly #seed = randomInt(2 ** 32)

  constructor({ segmentBytes, bucketSlots }: PackedTableOptions = {}) {
    this.#log = new SegmentLog(segmentBytes)
    this.#index = new HashIndex(bucketSlots)
  }

  /** How many keys there are. */
  get size(): number {
    return this.#index.size
  }

  /** Bytes taken from the system for keys and values, and how many of them are in use. */
  get bytes(): { readonly allocated: number; readonly live: number } {
    return { allocated: this.#log.allocatedBytes, live: this.#log.liveBytes }
  }

  get(key: string): Place | undefined {
    const ref = this.#index.find(this.#hash(key), key, this.#hasKey)
    return ref === 0 ? undefined : this.#place(ref)
  }

  /** Copies the first `length` bytes of `value`. They may not be the table's own. */
  set(key: string, value: Buffer, length: number): void {
    const hash = this.#hash(key)
    const size = KEY + key.length + length
    const known = this.#index.find(hash, key, this.#hasKey)
    let ref = known
    if (!ref || !this.#fits(size, ref)) {
      ref = this.#log.allocate(size)
      this.#writeKey(key, ref)
      if (known) {
        this.#index.replace(hash, known, ref)
        this.#log.release(known)
      } else this.#index.add(hash, ref)
    }
    const bytes = this.#log.bytesOf(ref)
    const offset = this.#log.offsetOf(ref)
    write32(bytes, offset + VALUE_LENGTH, length)
    value.copy(bytes, offset + KEY + key.length, 0, length)
    if (ref !== known) this.#tidy(size)
  }

  delete(key: string): boolean {
    const hash = this.#hash(key)
    const ref = this.#index.find(hash, key, this.#hasKey)
    if (ref === 0) return false
    const size = this.#log.capacityOf(ref)
    this.#index.remove(hash, ref)
    this.#log.release(ref)
    this.#tidy(size)
    return true
  }

  /**
   * Shows a part of the records, some hundreds, to `visit`, which must not change the table.
   * @param from 0, or where the last call said that the next part begins
   * @returns where the next part begins; 0 after the last. What is there all the time is shown once, whatever changes
   */
  visit(from: number, visit: (place: Place) => void): number {
    const { refs, next } = this.#index.part(from)
    for (const ref of refs) visit(this.#place(ref))
    return next < 2 ** 32 ? next : 0
  }

  /** The key of a place. */
  keyOf({ bytes, start, ref }: Place): string {
    return bytes.toString('latin1', this.#log.offsetOf(ref) + KEY, start)
  }

  /** To give back what a change of so many bytes has put out of use, four times as many may have to be moved. */
  #tidy(bytes: number): void {
    this.#log.compact(Math.min(5 * bytes, MOST_MOVED_BYTES), this.#moved)
  }

  #place(ref: number): Place {
    const bytes = this.#log.bytesOf(ref)
    const offset = this.#log.offsetOf(ref)
    const start = offset + KEY + read16(bytes, offset + KEY_LENGTH)
    return { bytes, start, end: start + read32(bytes, offset + VALUE_LENGTH), ref }
  }

  /** Whether a record can stay where it is, without wasting more than a quarter. */
  #fits(size: number, ref: number): boolean {
    const capacity = this.#log.capacityOf(ref)
    return size <= capacity && capacity <= size * 1.25 + 8
  }

  #writeKey(key: string, ref: number): void {
    const bytes = this.#log.bytesOf(ref)
    const offset = this.#log.offsetOf(ref)
    write16(bytes, offset + KEY_LENGTH, key.length)
    bytes.write(key, offset + KEY, 'latin1')
  }

  readonly #hasKey = (ref: number, key: string): boolean => {
    const bytes = this.#log.bytesOf(ref)
    const offset = this.#log.offsetOf(ref)
    if (read16(bytes, offset + KEY_LENGTH) !== key.length) return false
    for (let i = 0; i < key.length; i++) if (bytes[offset + KEY + i] !== key.charCodeAt(i)) return false
    return true
  }

  readonly #moved = (from: number, to: number): void => {
    this.#index.replace(this.#hash(this.keyOf(this.#place(to))), from, to)
  }

  /** FNV-1a, and MurmurHash3's last step, which mixes the bits that it leaves apart. */
  #hash(key: string): number {
    let hash = this.#seed
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01_00_01_93)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35)
    return (hash ^ (hash >>> 16)) >>> 0
  }
}

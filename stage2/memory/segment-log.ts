/** Records begin at multiples of this many bytes. */
const GRANULE = 4
const SEGMENT_BYTES = 1024 * 1024
/** Segments that are emptied are kept for the next ones, up to this many; the others go back to the system. */
const SPARES = 4
/** What looking at a dead record costs, in bytes that could have been moved meanwhile. */
const LOOK_BYTES = 64

/** A piece of memory outside V8's heap, filled from front to back. */
interface Segment {
  readonly number: number
  readonly bytes: Buffer
  /** The same memory, for what stands at the beginning of each record. */
  readonly words: Uint32Array
  /** End of its last record. */
  filled: number
  /** Bytes of its records that are in use. */
  live: number
}

/** A record was moved; whoever knew it by its old reference must take the new one. */
export type Moved = (from: number, to: number) => void

/**
 * Room for records of any length outside V8's heap, in the manner of a log: a new record goes behind the last one, in
 * segments of a megabyte. Once a fifth of the memory is out of use, {@link compact} moves what is in use out of the
 * segment that has least of it, a bounded number of bytes at a time, and gives the segment back. So a byte that is
 * written costs at most four that are moved, no more than about a quarter of the memory in use is wasted, and nothing ever copies
 * the whole.
 *
 * The first four bytes of a record are the log's: its capacity, in granules, and whether it is dead.
 */
export class SegmentLog {
  readonly #segmentBytes: number
  /** Of a reference: the bits that say where in the segment. */
  readonly #shift: number
  /** By number; there is none with number 0, so no reference is 0. */
  readonly #segments: (Segment | undefined)[] = [undefined]
  readonly #freeNumbers: number[] = []
  readonly #spares: Buffer[] = []
  #head: Segment
  #allocated = 0
  #live = 0
  /** The segment that is being emptied, and how far that is. */
  #victim: Segment | undefined
  #hand = 0

  /** @param segmentBytes a power of two */
  constructor(segmentBytes = SEGMENT_BYTES) {
    this.#segmentBytes = segmentBytes
    this.#shift = Math.log2(segmentBytes / GRANULE)
    this.#head = this.#open(segmentBytes)
  }

  /** Bytes of all segments. */
  get allocatedBytes(): number {
    return this.#allocated
  }

  /** Bytes of all records in use. */
  get liveBytes(): number {
    return this.#live
  }

  /** The memory that a record lies in, at {@link offsetOf}. */
  bytesOf(ref: number): Buffer {
    return this.#segmentOf(ref).bytes
  }

  offsetOf(ref: number): number {
    return (ref & ((1 << this.#shift) - 1)) * GRANULE
  }

  /** How many bytes a record may have, those of the log included. */
  capacityOf(ref: number): number {
    return this.#capacityAt(this.#segmentOf(ref), this.offsetOf(ref))
  }

  /** Room for a record. @returns its reference, a whole number from 1 to 2³²−1 */
  allocate(bytes: number): number {
    const capacity = Math.ceil(bytes / GRANULE) * GRANULE
    const segment = this.#roomFor(capacity)
    const offset = segment.filled
    segment.words[offset >>> 2] = (capacity / GRANULE) << 1
    segment.filled += capacity
    segment.live += capacity
    this.#live += capacity
    return ((segment.number << this.#shift) | (offset / GRANULE)) >>> 0
  }

  /** What does not fit into any segment gets one of its own. */
  #roomFor(capacity: number): Segment {
    if (capacity > this.#segmentBytes) return this.#open(capacity)
    const head = this.#head
    if (head.filled + capacity <= this.#segmentBytes) return head
    this.#head = this.#open(this.#segmentBytes)
    if (head.live === 0) this.#close(head)
    return this.#head
  }

  release(ref: number): void {
    const segment = this.#segmentOf(ref)
    const offset = this.offsetOf(ref)
    segment.words[offset >>> 2] = (segment.words[offset >>> 2] as number) | 1
    const capacity = this.#capacityAt(segment, offset)
    segment.live -= capacity
    this.#live -= capacity
    if (segment.live === 0 && segment !== this.#head) this.#close(segment)
  }

  /**
   * Moves about `budgetBytes` of records, if so much is out of use that it is worth it.
   * @returns whether there is more to do
   */
  compact(budgetBytes: number, moved: Moved): boolean {
    for (let left = budgetBytes; left > 0; ) {
      this.#victim ??= this.#choose()
      if (!this.#victim) return false
      left -= this.#empty(this.#victim, moved)
    }
    return true
  }

  /** One record further. @returns what that cost */
  #empty(victim: Segment, moved: Moved): number {
    const offset = this.#hand
    const word = victim.words[offset >>> 2] as number
    const capacity = this.#capacityAt(victim, offset)
    this.#hand += capacity
    if ((word & 1) === 1) return LOOK_BYTES
    const from = ((victim.number << this.#shift) | (offset / GRANULE)) >>> 0
    const to = this.allocate(capacity)
    const { bytes } = this.#segmentOf(to)
    // The first word is the same in both.
    victim.bytes.copy(bytes, this.offsetOf(to), offset, offset + capacity)
    moved(from, to)
    this.release(from)
    return capacity
  }

  /** The segment with the most memory out of use. It has at least one record in use, or it would have been closed. */
  #choose(): Segment | undefined {
    this.#hand = 0
    if ((this.#allocated - this.#live) * 5 < this.#allocated) return undefined
    let best: Segment | undefined
    let most = 0
    for (const segment of this.#segments) {
      if (!segment || segment === this.#head) continue
      const waste = segment.bytes.length - segment.live
      if (waste > most) [best, most] = [segment, waste]
    }
    // One that is nearly full is not worth it: the waste is the head's, or that of records with no other beside them.
    return best && most * 5 >= best.bytes.length ? best : undefined
  }

  #capacityAt({ words }: Segment, offset: number): number {
    return ((words[offset >>> 2] as number) >>> 1) * GRANULE
  }

  #segmentOf(ref: number): Segment {
    return this.#segments[ref >>> this.#shift] as Segment
  }

  /** @throws RangeError beyond 16 GB */
  #open(size: number): Segment {
    const number = this.#freeNumbers.pop() ?? this.#segments.length
    if (number >= 2 ** (32 - this.#shift)) throw new RangeError('no room for more records')
    // Shared memory, because its growth does not make V8 collect garbage: with an ordinary buffer, loading 200,000
    // rows came with eight full collections of 5 ms each, and took half as long again.
    const spare = size === this.#segmentBytes ? this.#spares.pop() : undefined
    const bytes = spare ?? Buffer.from(new SharedArrayBuffer(size))
    const words = new Uint32Array(bytes.buffer)
    const segment = { number, bytes, words, filled: 0, live: 0 }
    this.#segments[number] = segment
    this.#allocated += size
    return segment
  }

  #close(segment: Segment): void {
    this.#segments[segment.number] = undefined
    this.#freeNumbers.push(segment.number)
    this.#allocated -= segment.bytes.length
    if (segment === this.#victim) this.#victim = undefined
    if (segment.bytes.length === this.#segmentBytes && this.#spares.length < SPARES)
      this.#spares.push(segment.bytes)
  }
}

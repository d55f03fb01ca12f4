/** References in one bucket at most; a bucket that is split moves half of them, which takes some 20 µs. */
const BUCKET_SLOTS = 1024
/** Buckets are split until there are 2²⁰ of them; from then on, and where many hashes are equal, they grow. */
const MAX_DEPTH = 20

/** The references of all hashes that begin with the same `depth` bits; an empty place has reference 0. */
class Bucket {
  readonly depth: number
  readonly hashes: Uint32Array
  readonly refs: Uint32Array
  count = 0

  constructor(depth: number, slots: number) {
    this.depth = depth
    this.hashes = new Uint32Array(slots)
    this.refs = new Uint32Array(slots)
  }

  get isFull(): boolean {
    return this.count * 5 >= this.refs.length * 4
  }

  add(hash: number, ref: number): void {
    const mask = this.refs.length - 1
    let i = hash & mask
    while (this.refs[i] !== 0) i = (i + 1) & mask
    this.hashes[i] = hash
    this.refs[i] = ref
    this.count++
  }

  indexOf(hash: number, ref: number): number {
    const mask = this.refs.length - 1
    let i = hash & mask
    while (this.refs[i] !== ref) {
      if (this.refs[i] === 0) throw new Error('the index has no such reference')
      i = (i + 1) & mask
    }
    return i
  }

  /** What stands behind moves up, so that no mark has to be left in the place of what was removed. */
  removeAt(index: number): void {
    const { hashes, refs } = this
    const mask = refs.length - 1
    let hole = index
    for (let i = (hole + 1) & mask; refs[i] !== 0; i = (i + 1) & mask) {
      const home = (hashes[i] as number) & mask
      if (((i - home) & mask) < ((i - hole) & mask)) continue
      hashes[hole] = hashes[i] as number
      refs[hole] = refs[i] as number
      hole = i
    }
    refs[hole] = 0
    this.count--
  }
}

/**
 * From hashes to references, outside V8's heap, by extendible hashing: the first bits of a hash choose one of many small
 * tables (open addressing, linear probing), and a table that is full is split in two by the next bit. So growing never
 * touches more than one small table; 8 bytes for each place, of which between 40 and 80 % are taken.
 */
export class HashIndex {
  readonly #slots: number
  /** A bucket of a lesser depth stands in several places, one beside the other. */
  #buckets: Bucket[]
  #depth = 0
  #size = 0

  /** @param slots a power of two */
  constructor(slots = BUCKET_SLOTS) {
    this.#slots = slots
    this.#buckets = [new Bucket(0, slots)]
  }

  get size(): number {
    return this.#size
  }

  /** The reference of this hash that `isWanted`, or 0. */
  find<Key>(hash: number, key: Key, isWanted: (ref: number, key: Key) => boolean): number {
    const { hashes, refs } = this.#bucketOf(hash)
    const mask = refs.length - 1
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const ref = refs[i] as number
      if (ref === 0 || (hashes[i] === hash && isWanted(ref, key))) return ref
    }
  }

  add(hash: number, ref: number): void {
    while (this.#bucketOf(hash).isFull) this.#split(this.#bucketOf(hash), hash)
    this.#bucketOf(hash).add(hash, ref)
    this.#size++
  }

  replace(hash: number, from: number, to: number): void {
    const bucket = this.#bucketOf(hash)
    bucket.refs[bucket.indexOf(hash, from)] = to
  }

  remove(hash: number, ref: number): void {
    const bucket = this.#bucketOf(hash)
    bucket.removeAt(bucket.indexOf(hash, ref))
    this.#size--
  }

  /**
   * A part of the references: those whose hash is at or behind `from` and in the same bucket. Whoever begins with 0, and goes
   * on with `next` until that is 2³², sees each reference that is there all the time exactly once, whatever comes, goes
   * and moves meanwhile: splits leave the order of the hashes alone.
   */
  part(from: number): { readonly refs: readonly number[]; readonly next: number } {
    const bucket = this.#bucketOf(from)
    const width = 2 ** (32 - bucket.depth)
    const refs: number[] = []
    for (const ref of bucket.refs) if (ref !== 0) refs.push(ref)
    return { refs, next: (Math.floor(from / width) + 1) * width }
  }

  #bucketOf(hash: number): Bucket {
    // A shift by 32 is one by 0.
    return this.#buckets[this.#depth === 0 ? 0 : hash >>> (32 - this.#depth)] as Bucket
  }

  #split(full: Bucket, hash: number): void {
    const depth = full.depth + 1
    if (depth > MAX_DEPTH) return this.#put(hash, [grown(full)])
    if (depth > this.#depth) this.#double()
    const halves = [new Bucket(depth, this.#slots), new Bucket(depth, this.#slots)] as const
    for (let i = 0; i < full.refs.length; i++) {
      const each = full.hashes[i] as number
      const half = halves[((each >>> (32 - depth)) & 1) as 0 | 1]
      if (full.refs[i] !== 0) half.add(each, full.refs[i] as number)
    }
    this.#put(hash, halves)
  }

  #double(): void {
    const buckets = new Array<Bucket>(this.#buckets.length * 2)
    for (let i = 0; i < buckets.length; i++) buckets[i] = this.#buckets[i >>> 1] as Bucket
    this.#buckets = buckets
    this.#depth++
  }

  /** Puts buckets in the place of the one that a hash has. */
  #put(hash: number, buckets: readonly Bucket[]): void {
    const { depth } = this.#bucketOf(hash)
    const places = 2 ** (this.#depth - depth)
    const first = Math.floor(hash / 2 ** (32 - depth)) * places
    for (let i = 0; i < places; i++)
      this.#buckets[first + i] = buckets[Math.floor((i * buckets.length) / places)] as Bucket
  }
}

function grown(full: Bucket): Bucket {
  const bucket = new Bucket(full.depth, full.refs.length * 2)
  for (let i = 0; i < full.refs.length; i++)
    if (full.refs[i] !== 0) bucket.add(full.hashes[i] as number, full.refs[i] as number)
  return bucket
}

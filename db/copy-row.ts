/** `PGCOPY` and five more bytes begin the first message, then flags and the length of what else stands before the rows. */
const SIGNATURE = 0x50_47_43_4f
const EXTENSION_LENGTH = 15
const HEADER = 19
/** In place of a number of columns: there are no more rows. */
const TRAILER = -1
/** 2000-01-01, from which PostgreSQL counts microseconds. */
const EPOCH_MS = 946_684_800_000

/**
 * A row of `COPY … (FORMAT binary)`, column by column from the first: each call reads the next one. Whoever calls knows the types.
 * Texts become wire text, one character per byte of PostgreSQL's UTF-8.
 */
export class CopyRow {
  #bytes: Buffer = Buffer.alloc(0)
  /** All of them as one string: to cut it is five times as fast as to make one string after the other. */
  #text = ''
  #at = 0

  /** @param at where the number of columns stands */
  set(bytes: Buffer, at: number): void {
    this.#bytes = bytes
    this.#text = bytes.toString('latin1')
    this.#at = at + 2
  }

  /** smallint */
  int2(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }

  /** integer */
  int4(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }

  /** bigint, which beyond 2⁵³ is not exact. */
  int8(): number {
    return this.#int8(this.#skip(8))
  }

  int8OrNull(): number | null {
    return this.#isNull() ? null : this.int8()
  }

  boolean(): boolean {
    return this.#bytes[this.#skip(1)] !== 0
  }

  /** timestamptz, as milliseconds since the epoch. */
  milliseconds(): number {
    return Math.round(this.int8() / 1000) + EPOCH_MS
  }

  text(): string {
    const length = this.#bytes.readInt32BE(this.#at)
    const start = this.#at + 4
    this.#at = start + length
    return this.#text.slice(start, this.#at)
  }

  textOrNull(): string | null {
    return this.#isNull() ? null : this.text()
  }

  /** text[] of one dimension, without those that are null. */
  texts(): string[] {
    const end = this.#at + 4 + this.#bytes.readInt32BE(this.#at)
    const dimensions = this.#bytes.readInt32BE(this.#at + 4)
    const count = dimensions === 0 ? 0 : this.#bytes.readInt32BE(this.#at + 16)
    this.#at += 24
    const texts: string[] = []
    for (let i = 0; i < count; i++) {
      const text = this.textOrNull()
      if (text !== null) texts.push(text)
    }
    this.#at = end
    return texts
  }

  /** Steps over a null. */
  #isNull(): boolean {
    if (this.#bytes.readInt32BE(this.#at) >= 0) return false
    this.#at += 4
    return true
  }

  /** Steps over a column of known length. @returns where its value stands */
  #skip(length: number): number {
    const start = this.#at + 4
    this.#at = start + length
    return start
  }

  #int8(at: number): number {
    return this.#bytes.readInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4)
  }
}

const row = new CopyRow()

/** The row in a CopyData message, good until the next call; `undefined` for a message without one. */
export function rowOf(message: Buffer): CopyRow | undefined {
  const isFirst = message.length >= HEADER && message.readInt32BE(0) === SIGNATURE
  const at = isFirst ? HEADER + message.readInt32BE(EXTENSION_LENGTH) : 0
  if (message.length < at + 2 || message.readInt16BE(at) === TRAILER) return undefined
  row.set(message, at)
  return row
}

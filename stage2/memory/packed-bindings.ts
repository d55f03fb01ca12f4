import type { BindingRow } from '../../db/binding-store.ts'
import {
  type BindingTexts,
  COMMON,
  contactOf,
  instanceOf,
  keyOf,
  paramsOf,
  pathOf,
  shorten,
} from './binding-texts.ts'
import { Dictionary } from './dictionary.ts'
import { read16, read32, read48, write16, write32, write48 } from './packed-integers.ts'

/*
 * A row: length (4 bytes), flags, which texts there are, which of them are numbers of the dictionary, slot, how much of the key is
 * that of its base (2 bytes each), expiresAt, changedAt, rev (6 bytes each), cseq (4 bytes); then, unless they are what they
 * mostly are, q (2 bytes) and reg-id (4 bytes); for each text that there is its number (2 bytes) or its length (1 byte, or 255
 * and 2 bytes); the texts.
 */
const FLAGS = 4
const PRESENT = 6
const CODED = 8
const SLOT = 10
const KEY_SHARED = 12
const EXPIRES_AT = 14
const CHANGED_AT = 20
const REV = 26
const CSEQ = 32
const REST = 36
const TEXTS = 10
/** What can stand between `REST` and the texts. */
const MOST_NUMBERS = 6 + 3 * TEXTS

/** Beside those of `binding-texts.ts`. */
const DELETED = 256
const HAS_REG_ID = 512
const HAS_INSTANCE = 1024
const HAS_USER_AGENT = 2048
const HAS_RECEIVED = 4096
/** The preference is not 1. */
const HAS_Q = 8192

const MOST_Q = 1000
/** No message, so no part of one, is longer; what by hand is, is cut. */
const LONGEST = 0xff_ff
/** Instead of a length: it is in the two bytes that follow. */
const LONG = 0xff

/**
 * Rows of bindings as bytes. What many rows have in common (User-Agent, contact parameters, what follows the flow token in a
 * Path) is a number of a dictionary, and what other fields of a row say already is left out.
 */
export class PackedBindings {
  readonly #dictionary = new Dictionary()

  /** How many bytes {@link write} needs at most. */
  room({ key, contact, params, path, callId, instance, userAgent, received }: BindingRow): number {
    const paths = path.reduce((length, value) => length + value.length + 1, 0)
    const others = (instance?.length ?? 0) + (userAgent?.length ?? 0) + (received?.length ?? 0)
    return REST + MOST_NUMBERS + key.length + contact.length + params.length + paths + callId.length + others
  }

  /** Writes a row at `at`, where there must be {@link room}. @returns its length */
  write(row: BindingRow, bytes: Buffer, at: number): number {
    const { flags, shared, texts } = shorten(row)
    write16(bytes, at + FLAGS, flags | ownFlagsOf(row))
    write16(bytes, at + SLOT, row.slot)
    write16(bytes, at + KEY_SHARED, shared)
    write48(bytes, at + EXPIRES_AT, row.expiresAt)
    write48(bytes, at + CHANGED_AT, row.changedAt)
    write48(bytes, at + REV, row.rev)
    write32(bytes, at + CSEQ, within32(row.cseq))
    let end = at + REST
    if (row.q !== MOST_Q) {
      write16(bytes, end, row.q)
      end += 2
    }
    if (row.regId !== null) {
      write32(bytes, end, within32(row.regId))
      end += 4
    }
    const length = this.#writeTexts(texts, bytes, at, end) - at
    write32(bytes, at, length)
    return length
  }

  /** @param aor the row's, which is not packed with it */
  read(bytes: Buffer, at: number, aor: string): BindingRow {
    const flags = read16(bytes, at + FLAGS)
    const texts = this.#readTexts(bytes, at)
    const instance = instanceOf(texts, flags)
    return {
      slot: read16(bytes, at + SLOT),
      aor,
      key: keyOf(texts, flags, read16(bytes, at + KEY_SHARED), aor),
      contact: contactOf(texts, flags, aor),
      params: paramsOf(texts, flags, instance),
      q: flags & HAS_Q ? read16(bytes, at + REST) : MOST_Q,
      path: pathOf(texts, flags),
      callId: texts[6],
      cseq: read32(bytes, at + CSEQ),
      instance: flags & HAS_INSTANCE ? instance : null,
      regId: flags & HAS_REG_ID ? read32(bytes, at + REST + (flags & HAS_Q ? 2 : 0)) : null,
      userAgent: flags & HAS_USER_AGENT ? texts[8] : null,
      received: flags & HAS_RECEIVED ? texts[9] : null,
      expiresAt: read48(bytes, at + EXPIRES_AT),
      changedAt: read48(bytes, at + CHANGED_AT),
      deleted: (flags & DELETED) !== 0,
      rev: read48(bytes, at + REV),
    }
  }

  /** As {@link read}, of one field only; as are the others below. */
  key(bytes: Buffer, at: number, aor: string): string {
    const shared = read16(bytes, at + KEY_SHARED)
    return keyOf(this.#readTexts(bytes, at), read16(bytes, at + FLAGS), shared, aor)
  }

  /** The bytes of the row. */
  length(bytes: Buffer, at: number): number {
    return read32(bytes, at)
  }

  slot(bytes: Buffer, at: number): number {
    return read16(bytes, at + SLOT)
  }

  rev(bytes: Buffer, at: number): number {
    return read48(bytes, at + REV)
  }

  setRev(bytes: Buffer, at: number, rev: number): void {
    write48(bytes, at + REV, rev)
  }

  expiresAt(bytes: Buffer, at: number): number {
    return read48(bytes, at + EXPIRES_AT)
  }

  isDeleted(bytes: Buffer, at: number): boolean {
    return (read16(bytes, at + FLAGS) & DELETED) !== 0
  }

  /** @param from where their numbers and lengths begin @returns where the texts end */
  #writeTexts(texts: BindingTexts, bytes: Buffer, at: number, from: number): number {
    let joined = ''
    let present = 0
    let coded = 0
    let end = from
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i] as string
      if (text === '') continue
      present |= 1 << i
      const code = COMMON & (1 << i) ? this.#dictionary.code(text) : undefined
      if (code !== undefined) {
        coded |= 1 << i
        write16(bytes, end, code)
        end += 2
        continue
      }
      const cut = text.length > LONGEST ? text.slice(0, LONGEST) : text
      joined += cut
      end = writeLength(bytes, end, cut.length)
    }
    write16(bytes, at + PRESENT, present)
    write16(bytes, at + CODED, coded)
    return end + bytes.write(joined, end, 'latin1')
  }

  #readTexts(bytes: Buffer, at: number): BindingTexts {
    const flags = read16(bytes, at + FLAGS)
    const present = read16(bytes, at + PRESENT)
    const coded = read16(bytes, at + CODED)
    let next = at + REST + (flags & HAS_Q ? 2 : 0) + (flags & HAS_REG_ID ? 4 : 0)
    const numbers: number[] = []
    for (let bit = 1; bit <= LAST_TEXT; bit <<= 1) {
      const isShort = (coded & bit) === 0 && bytes[next] !== LONG
      if ((present & bit) === 0) numbers.push(0)
      else if (isShort) numbers.push(bytes[next++] as number)
      else {
        next += coded & bit ? 2 : 3
        numbers.push(read16(bytes, next - 2))
      }
    }
    const joined = bytes.toString('latin1', next, at + read32(bytes, at))
    const texts: string[] = []
    let start = 0
    for (let i = 0; i < TEXTS; i++) {
      const number = numbers[i] as number
      const isCoded = (coded & (1 << i)) !== 0
      texts.push(isCoded ? this.#dictionary.text(number) : joined.slice(start, start + number))
      if (!isCoded) start += number
    }
    return texts as BindingTexts
  }
}

const LAST_TEXT = 1 << (TEXTS - 1)

function ownFlagsOf({ deleted, regId, instance, userAgent, received, q }: BindingRow): number {
  let flags = deleted ? DELETED : 0
  if (regId !== null) flags |= HAS_REG_ID
  if (instance !== null) flags |= HAS_INSTANCE
  if (userAgent !== null) flags |= HAS_USER_AGENT
  if (received !== null) flags |= HAS_RECEIVED
  if (q !== MOST_Q) flags |= HAS_Q
  return flags
}

function writeLength(bytes: Buffer, at: number, length: number): number {
  if (length < LONG) {
    bytes[at] = length
    return at + 1
  }
  bytes[at] = LONG
  write16(bytes, at + 1, length)
  return at + 3
}

/** RFC 3261 §8.1.1.5 and RFC 5626 §4.1 have them below 2³¹; what by hand is not, becomes the nearest. */
const within32 = (value: number): number => Math.min(Math.max(value, 0), 0xff_ff_ff_ff)

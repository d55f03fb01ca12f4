import type { BindingRow } from '../../db/binding-store.ts'
import { Dictionary } from './dictionary.ts'
import { read16, read32, read48, write16, write32, write48 } from './packed-integers.ts'

/*
 * A row: its length (4 bytes), flags, which texts are numbers of the dictionary, slot, q (2 bytes each), expiresAt,
 * changedAt, rev, cseq, reg-id (6 bytes each), how much of the key is that of its base (2 bytes), for each text its
 * length or its number (2 bytes), the texts.
 */
const FLAGS = 4
const CODED = 6
const SLOT = 8
const Q = 10
const EXPIRES_AT = 12
const CHANGED_AT = 18
const REV = 24
const CSEQ = 30
const REG_ID = 36
const KEY_SHARED = 42
const LENGTHS = 44
const TEXTS = 9
const TEXT = LENGTHS + 2 * TEXTS

const DELETED = 1
const HAS_REG_ID = 2
const HAS_INSTANCE = 4
const HAS_USER_AGENT = 8
const HAS_RECEIVED = 16
/** The base of the key, with which it begins, is the instance and not the contact. */
const KEY_OF_INSTANCE = 32
/** `sip:`, the user of the AOR and `@` are left out of the contact. */
const CONTACT_OF_USER = 64
/** In the parameters the instance is a NUL. */
const PARAMS_OF_INSTANCE = 128

/** No message, so no part of one, is longer; what by hand is, is cut. */
const LONGEST = 0xff_ff

/** The texts of a row as they are packed. */
type Texts = [
  key: string,
  contact: string,
  params: string,
  pathHead: string,
  pathTail: string,
  callId: string,
  instance: string,
  userAgent: string,
  received: string,
]
/** Params, the end of Path, User-Agent, received: what many rows have in common. */
const COMMON = (1 << 2) | (1 << 4) | (1 << 7) | (1 << 8)

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
    return TEXT + key.length + contact.length + params.length + paths + callId.length + others
  }

  /** Writes a row at `at`, where there must be {@link room}. @returns its length */
  write(row: BindingRow, bytes: Buffer, at: number): number {
    const flags = flagsOf(row)
    const shared = sharedLength(row.key, (flags & KEY_OF_INSTANCE ? row.instance : row.contact) ?? '')
    write16(bytes, at + FLAGS, flags)
    write16(bytes, at + SLOT, row.slot)
    write16(bytes, at + Q, row.q)
    write48(bytes, at + EXPIRES_AT, row.expiresAt)
    write48(bytes, at + CHANGED_AT, row.changedAt)
    write48(bytes, at + REV, row.rev)
    write48(bytes, at + CSEQ, row.cseq)
    write48(bytes, at + REG_ID, row.regId ?? 0)
    write16(bytes, at + KEY_SHARED, shared)
    const length = TEXT + this.#writeTexts(textsOf(row, flags, shared), bytes, at)
    write32(bytes, at, length)
    return length
  }

  /** @param aor the row's, which is not packed with it */
  read(bytes: Buffer, at: number, aor: string): BindingRow {
    const flags = read16(bytes, at + FLAGS)
    const texts = this.#readTexts(bytes, at)
    const [, , params, pathHead, pathTail, callId, instance, userAgent, received] = texts
    const path = pathHead + pathTail
    return {
      slot: read16(bytes, at + SLOT),
      aor,
      key: keyOf(texts, flags, read16(bytes, at + KEY_SHARED), aor),
      contact: contactOf(texts, flags, aor),
      params: flags & PARAMS_OF_INSTANCE ? params.replace('\0', () => instance) : params,
      q: read16(bytes, at + Q),
      path: path === '' ? [] : path.split('\n'),
      callId,
      cseq: read48(bytes, at + CSEQ),
      instance: flags & HAS_INSTANCE ? instance : null,
      regId: flags & HAS_REG_ID ? read48(bytes, at + REG_ID) : null,
      userAgent: flags & HAS_USER_AGENT ? userAgent : null,
      received: flags & HAS_RECEIVED ? received : null,
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

  /** @returns the bytes that the texts themselves take */
  #writeTexts(texts: Texts, bytes: Buffer, at: number): number {
    let joined = ''
    let coded = 0
    for (let i = 0; i < TEXTS; i++) {
      const text = texts[i] as string
      const code = COMMON & (1 << i) ? this.#dictionary.code(text) : undefined
      if (code === undefined) joined += text
      else coded |= 1 << i
      write16(bytes, at + LENGTHS + 2 * i, code ?? text.length)
    }
    write16(bytes, at + CODED, coded)
    return bytes.write(joined, at + TEXT, 'latin1')
  }

  #readTexts(bytes: Buffer, at: number): Texts {
    const joined = bytes.toString('latin1', at + TEXT, at + read32(bytes, at))
    const coded = read16(bytes, at + CODED)
    const texts = []
    let start = 0
    for (let i = 0; i < TEXTS; i++) {
      const number = read16(bytes, at + LENGTHS + 2 * i)
      const isCoded = (coded & (1 << i)) !== 0
      texts.push(isCoded ? this.#dictionary.text(number) : joined.slice(start, start + number))
      if (!isCoded) start += number
    }
    return texts as Texts
  }
}

function flagsOf(row: BindingRow): number {
  const { aor, key, contact, params, instance } = row
  let flags = row.deleted ? DELETED : 0
  if (row.regId !== null) flags |= HAS_REG_ID
  if (row.userAgent !== null) flags |= HAS_USER_AGENT
  if (row.received !== null) flags |= HAS_RECEIVED
  if (contact.startsWith('sip:') && contact.startsWith(userPart(aor), 4)) flags |= CONTACT_OF_USER
  if (instance === null) return flags
  if (instance !== '' && key.startsWith(instance)) flags |= KEY_OF_INSTANCE
  if (instance !== '' && params.includes(instance) && !params.includes('\0')) flags |= PARAMS_OF_INSTANCE
  return flags | HAS_INSTANCE
}

function textsOf(row: BindingRow, flags: number, shared: number): Texts {
  const { key, contact, params, callId, instance, userAgent, received } = row
  const path = row.path.join('\n')
  const token = path.indexOf('@') < 0 ? path.length : path.indexOf('@')
  const texts: Texts = [
    key.slice(shared),
    flags & CONTACT_OF_USER ? contact.slice(4 + userPart(row.aor).length) : contact,
    flags & PARAMS_OF_INSTANCE ? params.replace(instance ?? '', () => '\0') : params,
    path.slice(0, token),
    path.slice(token),
    callId,
    instance ?? '',
    userAgent ?? '',
    received ?? '',
  ]
  for (let i = 0; i < TEXTS; i++) {
    const text = texts[i] as string
    if (text.length > LONGEST) texts[i] = text.slice(0, LONGEST)
  }
  return texts
}

function contactOf([, contact]: Texts, flags: number, aor: string): string {
  return flags & CONTACT_OF_USER ? `sip:${userPart(aor)}${contact}` : contact
}

function keyOf(texts: Texts, flags: number, shared: number, aor: string): string {
  const base = flags & KEY_OF_INSTANCE ? texts[6] : contactOf(texts, flags, aor)
  return base.slice(0, shared) + texts[0]
}

/** The user of an AOR, and the `@`. */
const userPart = (aor: string): string => aor.slice(0, aor.lastIndexOf('@') + 1)

function sharedLength(a: string, b: string): number {
  const length = Math.min(a.length, b.length, LONGEST)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++
  return i
}

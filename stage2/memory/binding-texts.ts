import type { BindingRow } from '../../db/binding-store.ts'

/** What a binding's texts are when what can be told from its other texts is left out; see {@link shorten}. */
export type BindingTexts = [
  key: string,
  contact: string,
  contactTail: string,
  params: string,
  path: string,
  pathTail: string,
  callId: string,
  instance: string,
  userAgent: string,
  received: string,
]

/** Which of them many rows have in common, by their places. */
export const COMMON = [2, 3, 5, 8, 9].reduce((bits, place) => bits | (1 << place), 0)

/** How texts were shortened. The bits from 256 on are somebody else's. */
export const SHORTENED = {
  /** The key begins as the instance does, and not as the contact. */
  keyByInstance: 1,
  /** `sip:`, the user of the AOR and `@` are left out of the contact. */
  contactOfUser: 2,
  /** In the parameters the instance is a NUL. */
  paramsWithInstance: 4,
  /** `<sip:` is left out of the path. */
  pathIsSip: 8,
  /** Of the instance, `<urn:uuid:…>`, only the 16 bytes are left. */
  instanceIsUuid: 16,
} as const

export interface Shortened {
  readonly flags: number
  /** How many characters the key has in common with what it begins as. */
  readonly shared: number
  readonly texts: BindingTexts
}

/**
 * A contact mostly names the user again, the key is mostly the contact, or the instance and a number, the instance stands in the
 * parameters again: of 300 characters some 130 are left, besides what many rows have in common.
 */
export function shorten(row: BindingRow): Shortened {
  const { aor, key, contact, params, callId, instance, userAgent, received } = row
  const flags = flagsOf(row)
  const shared = sharedLength(key, (flags & SHORTENED.keyByInstance ? instance : contact) ?? '')
  const path = row.path.join('\n')
  const contactEnd = endOf(contact, ';')
  const token = endOf(path, '@')
  return {
    flags,
    shared,
    texts: [
      key.slice(shared),
      contact.slice(flags & SHORTENED.contactOfUser ? 4 + userPart(aor).length : 0, contactEnd),
      contact.slice(contactEnd),
      flags & SHORTENED.paramsWithInstance ? params.replace(instance ?? '', () => '\0') : params,
      path.slice(flags & SHORTENED.pathIsSip ? SIP.length : 0, token),
      path.slice(token),
      callId,
      (flags & SHORTENED.instanceIsUuid ? uuidBytes(instance ?? '') : instance) ?? '',
      userAgent ?? '',
      received ?? '',
    ],
  }
}

export function contactOf(texts: BindingTexts, flags: number, aor: string): string {
  const [, contact, tail] = texts
  return flags & SHORTENED.contactOfUser ? `sip:${userPart(aor)}${contact}${tail}` : contact + tail
}

export function instanceOf(texts: BindingTexts, flags: number): string {
  return flags & SHORTENED.instanceIsUuid ? uuidText(texts[7]) : texts[7]
}

export function keyOf(texts: BindingTexts, flags: number, shared: number, aor: string): string {
  const base = flags & SHORTENED.keyByInstance ? instanceOf(texts, flags) : contactOf(texts, flags, aor)
  return base.slice(0, shared) + texts[0]
}

export function paramsOf([, , , params]: BindingTexts, flags: number, instance: string): string {
  return flags & SHORTENED.paramsWithInstance ? params.replace('\0', () => instance) : params
}

export function pathOf(texts: BindingTexts, flags: number): string[] {
  const path = (flags & SHORTENED.pathIsSip ? SIP : '') + texts[4] + texts[5]
  return path === '' ? [] : path.split('\n')
}

const SIP = '<sip:'

function flagsOf({ aor, key, contact, params, path, instance }: BindingRow): number {
  let flags = 0
  const user = userPart(aor)
  const isOfUser = contact.startsWith('sip:') && contact.startsWith(user, 4)
  // Parameters of a user would be cut off with the tail.
  if (isOfUser && !user.includes(';')) flags |= SHORTENED.contactOfUser
  if (path[0]?.startsWith(SIP)) flags |= SHORTENED.pathIsSip
  if (instance === null || instance === '') return flags
  if (key.startsWith(instance)) flags |= SHORTENED.keyByInstance
  if (params.includes(instance) && !params.includes('\0')) flags |= SHORTENED.paramsWithInstance
  if (UUID.test(instance)) flags |= SHORTENED.instanceIsUuid
  return flags
}

const UUID = /^<urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}>$/

const uuidBytes = (text: string): string =>
  Buffer.from(text.slice(10, -1).replaceAll('-', ''), 'hex').toString('latin1')

function uuidText(bytes: string): string {
  const hex = Buffer.from(bytes, 'latin1').toString('hex')
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)]
  return `<urn:uuid:${parts.join('-')}>`
}

/** The user of an AOR, and the `@`. */
const userPart = (aor: string): string => aor.slice(0, aor.lastIndexOf('@') + 1)

/** Where a character stands for the first time, or the end. */
function endOf(text: string, character: string): number {
  const at = text.indexOf(character)
  return at < 0 ? text.length : at
}

function sharedLength(a: string, b: string): number {
  const length = Math.min(a.length, b.length, 0xff_ff)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++
  return i
}

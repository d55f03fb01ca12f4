import { type NameAddr, parseNameAddr } from './name-addr.ts'
import { parseDeltaSeconds } from './scalar.ts'
import type { Uri } from './uri.ts'

/** What an expiry is taken for when it is there and malformed (RFC 3261 §10.2.1.1). */
const MALFORMED_EXPIRES_SEC = 3600

/** One Contact value (RFC 3261 §20.10, RFC 5626 §4.1). */
export class Contact {
  readonly address: NameAddr
  readonly uri: Uri

  constructor(address: NameAddr, uri: Uri) {
    this.address = address
    this.uri = uri
  }

  /** The URI as received, without `<>`. */
  get uriText(): string {
    return this.uri.text
  }

  /** The contact parameters from the first `;`, as received: never a part of the URI. */
  get params(): string {
    return this.address.params
  }

  param(name: string): string | undefined {
    return this.address.param(name)
  }

  /** Preference, 0…1000; 1000 when there is none or a malformed one. */
  get q(): number {
    return parseQ(this.param('q'))
  }

  /** Seconds; undefined when absent or beyond 2³²−1, which count as absent. */
  get expiresSec(): number | undefined {
    const value = this.param('expires')
    if (value === undefined) return undefined
    return /^\d+$/.test(value) ? parseDeltaSeconds(value) : MALFORMED_EXPIRES_SEC
  }

  /** `+sip.instance` without its quotes: `<urn:uuid:…>`. */
  get instance(): string | undefined {
    return this.param('+sip.instance') || undefined
  }

  /** 1…2³¹−1; undefined when absent or malformed. */
  get regId(): number | undefined {
    const value = this.param('reg-id')
    const id = value === undefined ? undefined : parseDeltaSeconds(value)
    return id !== undefined && id >= 1 && id <= 0x7f_ff_ff_ff ? id : undefined
  }
}

/** One Contact value that is not `*`; undefined when it or its URI is malformed. */
export function parseContact(text: string): Contact | undefined {
  const address = parseNameAddr(text)
  const uri = address?.uri
  return address && uri && new Contact(address, uri)
}

/** The Contact values of one message; undefined when one is malformed, or `*` is not alone (§10.3 step 6). */
export function parseContacts(values: readonly string[]): Contact[] | '*' | undefined {
  const contacts: Contact[] = []
  for (const value of values) {
    if (isStar(value)) return values.length === 1 ? '*' : undefined
    const contact = parseContact(value)
    if (contact === undefined) return undefined
    contacts.push(contact)
  }
  return contacts
}

const isStar = (text: string): boolean => text.trim() === '*'

const QVALUE = /^(?:0(?:\.\d*)?|\.\d+|1(?:\.0*)?)$/

/** A qvalue in thousandths; 1000 for what is none. */
export function parseQ(value: string | undefined): number {
  if (value === undefined || !QVALUE.test(value)) return 1000
  return Math.floor(Number.parseFloat(`0${value}`) * 1000 + 1e-6)
}

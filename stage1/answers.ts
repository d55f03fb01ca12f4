import { randomInt } from 'node:crypto'
import type { MemberRow } from '../src/partition/partition-map.ts'
import { H } from '../src/sip/header.ts'
import { formatHostPort } from '../src/sip/host.ts'
import type { HeaderField } from '../src/sip/response.ts'
import type { Uri } from '../src/sip/uri.ts'
import type { Defect } from '../src/sip/validate.ts'

/** Option tags that a Proxy-Require may name (RFC 3261 §16.3 step 5). */
export const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

const ALLOW =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, PRACK, PUBLISH'

/** Seconds until a client may try again when no member of its group lives; spread, so that not all come back at once. */
const RETRY_AFTER_SEC = [2, 8] as const

/** All members of one group are down: for its users alone, and not for ever. */
export function nobodyServes(): Defect {
  const headers: HeaderField[] = [[H.retryAfter, String(randomInt(...RETRY_AFTER_SEC))]]
  return { status: 503, reason: 'Service Unavailable', headers }
}

export const TOO_LARGE: Defect = { status: 513, reason: 'Message Too Large' }

/**
 * RFC 3261 §8.3: where the user's group is. The URI keeps its host, by which the group knows the domain; `maddr` says
 * where to go with it (§19.1.1).
 */
export function redirection({ scheme, user, host, params }: Uri, { address, port }: MemberRow): Defect {
  const place = `${user && `${user}@`}${formatHostPort(host, port)}`
  const rest = params.replace(/;(?:maddr|transport|method|ttl)=[^;]*/gi, '')
  const contact = `<${scheme}:${place}${rest};transport=udp;maddr=${formatHostPort(address, 0)}>`
  return { status: 302, reason: 'Moved Temporarily', headers: [[H.contact, contact]] }
}

/** What no honest client does. */
export const OFFENCES: ReadonlySet<number> = new Set([400, 403, 404])

/** RFC 3261 §11.2. Bodies pass us by unread. */
export const CAPABILITIES: readonly HeaderField[] = [
  [H.accept, '*/*'],
  [H.allow, ALLOW],
  [H.supported, [...SUPPORTED].join(', ')],
]

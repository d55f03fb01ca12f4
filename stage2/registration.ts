import type { BindingRow } from '../db/binding-store.ts'
import { type Contact, parseContacts } from '../src/sip/contact.ts'
import { detach } from '../src/sip/detach.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseDeltaSeconds } from '../src/sip/scalar.ts'
import { uriKey } from '../src/sip/uri-compare.ts'
import type { Defect } from '../src/sip/validate.ts'
import { isLive, PENDING } from './location.ts'

export interface RegistrationLimits {
  readonly minSec: number
  readonly defaultSec: number
  readonly maxSec: number
  /** Contacts that one AOR may have at a time. */
  readonly maxContacts: number
}

/** What a REGISTER comes to: the rows it changes (none for a mere query), or why it changes nothing. */
export type Registration = { readonly changes: readonly BindingRow[] } | { readonly defect: Defect }

interface Context {
  readonly request: Message
  readonly slot: number
  readonly aor: string
  readonly limits: RegistrationLimits
  readonly nowMs: number
  /** All rows of the AOR, expired ones and tombstones too. */
  readonly rows: readonly BindingRow[]
}

const refuse = (status: number, reason: string, headers?: Defect['headers']): Registration => ({
  defect: { status, reason, ...(headers && { headers }) },
})

/**
 * What a REGISTER does to the bindings of its AOR (RFC 3261 §10.3 steps 6 and 7): all of it, or nothing.
 */
export function registration(context: Context): Registration {
  const contacts = parseContacts(context.request.values(H.contact))
  const current = context.rows.filter((row) => isLive(row, context.nowMs))
  if (contacts === undefined) return refuse(400, 'Bad Contact')
  return contacts === '*' ? removeAll(context, current) : update(context, contacts, current)
}

function removeAll(context: Context, current: readonly BindingRow[]): Registration {
  if (headerExpires(context.request) !== 0) return refuse(400, 'Contact * Needs Expires 0')
  if (current.some((row) => isOutOfOrder(context.request, row))) return outOfOrder
  return { changes: current.map((row) => tombstone(context, row)) }
}

function update(
  context: Context,
  contacts: readonly Contact[],
  current: readonly BindingRow[],
): Registration {
  const { request, limits } = context
  const byKey = new Map(current.map((row) => [row.key, row]))
  const changes = new Map<string, BindingRow>()
  for (const contact of contacts) {
    const key = bindingKey(contact)
    const existing = byKey.get(key)
    if (existing && isOutOfOrder(request, existing)) return outOfOrder
    const wished = contact.expiresSec ?? headerExpires(request) ?? limits.defaultSec
    if (wished > 0 && wished < limits.minSec) {
      return refuse(423, 'Interval Too Brief', [[H.minExpires, String(limits.minSec)]])
    }
    if (wished > 0) changes.set(key, bindingOf(context, contact, key, Math.min(wished, limits.maxSec)))
    else if (existing) changes.set(key, tombstone(context, existing))
    else changes.delete(key)
  }
  const kept = current.filter(({ key }) => !changes.has(key)).length
  const added = [...changes.values()].filter(({ deleted }) => !deleted).length
  if (added > 0 && kept + added > limits.maxContacts) return refuse(403, 'Too Many Contacts')
  return { changes: [...changes.values()] }
}

const outOfOrder = refuse(400, 'CSeq Out Of Order')

/** §10.3 step 7: within one Call-ID the CSeq must rise. */
const isOutOfOrder = (request: Message, row: BindingRow): boolean =>
  row.callId === request.callId && (request.cseq?.number ?? 0) <= row.cseq

function headerExpires(request: Message): number | undefined {
  const value = request.value(H.expires)
  return value === undefined ? undefined : parseDeltaSeconds(value)
}

/** Flows of one instance and reg-id replace each other (RFC 5626 §6); otherwise the URI tells bindings apart. */
function bindingKey(contact: Contact): string {
  const { instance, regId } = contact
  return instance !== undefined && regId !== undefined ? `${instance};${regId}` : uriKey(contact.uri)
}

/** Contact parameters that are kept in columns of their own, or change with every answer. */
const OWN_COLUMN = /;\s*(?:q|expires)\s*(?:=\s*[^;]*)?(?=;|$)/gi

function bindingOf(context: Context, contact: Contact, key: string, expiresSec: number): BindingRow {
  const { request, slot, aor, nowMs } = context
  const stored = (text: string | undefined) => (text === undefined ? null : detach(text))
  return {
    slot,
    aor,
    key: detach(key),
    contact: detach(contact.uriText),
    params: detach(contact.params.replace(OWN_COLUMN, '')),
    q: contact.q,
    path: request.values(H.path).map(detach),
    callId: detach(request.callId),
    cseq: request.cseq?.number ?? 0,
    instance: stored(contact.instance),
    regId: contact.regId ?? null,
    userAgent: stored(request.value(H.userAgent)),
    received: null,
    expiresAt: nowMs + expiresSec * 1000,
    changedAt: changedAt(context, key),
    deleted: false,
    rev: PENDING,
  }
}

function tombstone(context: Context, row: BindingRow): BindingRow {
  const { request, nowMs } = context
  const cseq = request.cseq?.number ?? row.cseq
  const changed = changedAt(context, row.key)
  return {
    ...row,
    callId: detach(request.callId),
    cseq,
    expiresAt: nowMs,
    changedAt: changed,
    deleted: true,
    rev: PENDING,
  }
}

/** Now, but always later than the row it replaces, whatever the clock says: PostgreSQL keeps the later one. */
function changedAt({ rows, nowMs }: Context, key: string): number {
  const before = rows.find((row) => row.key === key)
  return Math.max(nowMs, (before?.changedAt ?? 0) + 1)
}

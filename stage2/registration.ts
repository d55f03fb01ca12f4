import { ALL_CONTACTS, type BindingRow, REMOVAL_HOLDS_MS } from '../db/binding-store.ts'
import { type Contact, parseContacts } from '../src/sip/contact.ts'
import { detach } from '../src/sip/detach.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseDeltaSeconds } from '../src/sip/scalar.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'
import { sameUri, uriKey } from '../src/sip/uri-compare.ts'
import type { Defect } from '../src/sip/validate.ts'
import { isLive, UNNUMBERED } from './location.ts'

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
  if (isRemovedSince(context, ALL_CONTACTS)) return outOfOrder
  return { changes: [...current.map((row) => tombstone(context, row)), everything(context)] }
}

function update(
  context: Context,
  contacts: readonly Contact[],
  current: readonly BindingRow[],
): Registration {
  const { request, limits } = context
  const before = new Map(current.map((row) => [row.key, row]))
  const changes = new Map<string, BindingRow>()
  for (const contact of contacts) {
    const key = bindingKey(contact, [...current, ...changes.values()])
    const existing = before.get(key)
    const wished = contact.expiresSec ?? headerExpires(request) ?? limits.defaultSec
    if (existing && wished > 0 && isRepeated(request, contact, existing)) continue
    if (existing && isOutOfOrder(request, existing)) return outOfOrder
    if (isRemovedSince(context, key)) return outOfOrder
    if (isTooBrief(wished, limits)) return tooBrief(limits)
    if (!fits(context.aor, key)) return refuse(400, 'Contact Too Long')
    if (wished > 0) changes.set(key, bindingOf(context, contact, key, Math.min(wished, limits.maxSec)))
    else changes.set(key, tombstone(context, existing ?? bindingOf(context, contact, key, 0)))
  }
  const after = new Map([...before, ...changes])
  const count = [...after.values()].filter(({ deleted }) => !deleted).length
  const isTooMany = count > limits.maxContacts && after.size > before.size
  // Removals of unknown contacts leave rows, too.
  if (isTooMany || changes.size > 2 * limits.maxContacts) return refuse(403, 'Too Many Contacts')
  return { changes: [...changes.values()] }
}

const outOfOrder = refuse(400, 'CSeq Out Of Order')

/** §10.3 step 7: within one Call-ID the CSeq must rise. */
const isOutOfOrder = (request: Message, row: BindingRow): boolean =>
  row.callId === request.callId && cseqOf(request) <= row.cseq

/**
 * Whether a later REGISTER of the same Call-ID has removed the contact: one that was overtaken on its way, or waited in a
 * member that stood still, must not bring it back. A phone that counts anew may, after a while.
 */
function isRemovedSince({ request, rows, nowMs }: Context, key: string): boolean {
  const cseq = cseqOf(request)
  return rows.some(
    (row) =>
      row.deleted &&
      (row.key === key || row.key === ALL_CONTACTS) &&
      row.callId === request.callId &&
      row.cseq > cseq &&
      row.changedAt > nowMs - REMOVAL_HOLDS_MS,
  )
}

/**
 * The very request that made the binding, come again: to a member that has taken over, for its answer was lost with the
 * master. Where one member serves both, the transaction absorbs it.
 */
const isRepeated = (request: Message, contact: Contact, row: BindingRow): boolean =>
  row.callId === request.callId && row.cseq === cseqOf(request) && row.contact === contact.uriText

const cseqOf = (request: Message): number => request.cseq?.number ?? 0

/** §10.3 step 7: what asks for an hour is never too brief, whatever the configuration says. */
const isTooBrief = (wishedSec: number, { minSec }: RegistrationLimits): boolean =>
  wishedSec > 0 && wishedSec < Math.min(minSec, 3600)

const tooBrief = ({ minSec }: RegistrationLimits): Registration =>
  refuse(423, 'Interval Too Brief', [[H.minExpires, String(minSec)]])

/** PostgreSQL's primary key holds 2,600 bytes, and what is no ASCII may take two for one. */
const fits = (aor: string, key: string): boolean => aor.length + key.length <= 1300

function headerExpires(request: Message): number | undefined {
  const value = request.value(H.expires)
  return value === undefined ? undefined : parseDeltaSeconds(value)
}

/**
 * Flows of one instance and reg-id replace each other, and their URIs tell nothing (RFC 5626 §6). Otherwise the URI tells
 * bindings apart: one that is equal to another's by RFC 3261 §19.1.4, though its key is not, is that binding's.
 */
function bindingKey(contact: Contact, rows: readonly BindingRow[]): string {
  const { instance, regId, uri } = contact
  if (instance !== undefined && regId !== undefined) return `${instance};${regId}`
  const key = uriKey(uri)
  if (rows.some((row) => row.key === key)) return key
  return rows.find((row) => row.regId === null && isAt(row, uri))?.key ?? key
}

function isAt({ contact }: BindingRow, uri: Uri): boolean {
  const own = parseUri(contact)
  return own !== undefined && sameUri(own, uri)
}

/** Contact parameters that are kept in columns of their own, or change with every answer; quoted strings go first. */
const OWN_COLUMN = /"(?:[^"\\]|\\.)*"|;\s*(?:q|expires)\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^;"]*))?(?=;|$)/gi

function withoutOwnColumns(params: string): string {
  return params.replace(OWN_COLUMN, (match) => (match.startsWith('"') ? match : ''))
}

function bindingOf(context: Context, contact: Contact, key: string, expiresSec: number): BindingRow {
  const { request, slot, aor, nowMs } = context
  const stored = (text: string | undefined) => (text === undefined ? null : detach(text))
  return {
    slot,
    aor: detach(aor),
    key: detach(key),
    contact: detach(contact.uriText),
    params: detach(withoutOwnColumns(contact.params)),
    q: contact.q,
    path: request.values(H.path).map(detach),
    callId: detach(request.callId),
    cseq: cseqOf(request),
    instance: stored(contact.instance),
    regId: contact.regId ?? null,
    userAgent: stored(request.value(H.userAgent)),
    received: null,
    expiresAt: nowMs + expiresSec * 1000,
    changedAt: changedAt(context, key),
    deleted: false,
    rev: UNNUMBERED,
  }
}

function tombstone(context: Context, row: BindingRow): BindingRow {
  return {
    ...row,
    callId: detach(context.request.callId),
    cseq: cseqOf(context.request),
    expiresAt: context.nowMs,
    changedAt: changedAt(context, row.key),
    deleted: true,
    rev: UNNUMBERED,
  }
}

/**
 * That all contacts were removed: also what another member has acknowledged, and this one has not heard of, because
 * PostgreSQL is away or the last refresh was before that.
 */
function everything(context: Context): BindingRow {
  const { request, slot, aor, rows, nowMs } = context
  const latest = rows.reduce((ms, row) => Math.max(ms, row.changedAt + 1), nowMs)
  return {
    slot,
    aor: detach(aor),
    key: ALL_CONTACTS,
    contact: '',
    params: '',
    q: 0,
    path: [],
    callId: detach(request.callId),
    cseq: cseqOf(request),
    instance: null,
    regId: null,
    userAgent: null,
    received: null,
    expiresAt: nowMs,
    changedAt: latest,
    deleted: true,
    rev: UNNUMBERED,
  }
}

/** Now, but always later than what it replaces, whatever the clock says: PostgreSQL keeps the later one. */
function changedAt({ rows, nowMs }: Context, key: string): number {
  const before = rows.filter((row) => row.key === key || row.key === ALL_CONTACTS)
  return before.reduce((ms, row) => Math.max(ms, row.changedAt + 1), nowMs)
}

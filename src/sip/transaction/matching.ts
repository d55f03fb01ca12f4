import type { Message } from '../message.ts'
import { MAGIC_COOKIE, type Via } from '../via.ts'
import { flat } from './flat.ts'

// Each key is a string of its own (toLowerCase and join see to that): a slice would keep its message's text alive.
// A line feed separates, for it can stand in no part. Tokens compare case-insensitively (§7.3.1): keys are lower case.

/** What a client transaction is found by (RFC 3261 §17.1.3). `branch` is one of ours, hence unique. */
export function clientKey(method: string, branch: string): string {
  return `${method}\n${branch}`.toLowerCase()
}

/**
 * What the server transaction of a request is found by (RFC 3261 §17.2.3), as if its method were `method`: an ACK
 * belongs to its INVITE, a CANCEL to what it cancels (§9.2). From a trusted peer the branch alone decides, since a
 * copy may come by another of the peer's nodes, with another sent-by.
 * @returns undefined without a usable Via: nothing can be matched, nor answered.
 */
export function serverKey(request: Message, method: string, trusted: boolean): string | undefined {
  const via = request.topVia
  if (!via) return undefined
  if (!isUnique(via)) return legacyKey(request, method, via, request.to?.tag)
  const key = trusted ? `${method}\n${via.branch}` : `${method}\n${via.branch}\n${via.sentBy}`
  return key.toLowerCase()
}

/** What the ACK of a client before RFC 3261 is found by: its INVITE, but with the To tag of the response (§17.2.3). */
export function legacyAckKey(message: Message, toTag: string | undefined): string | undefined {
  const via = message.topVia
  return via && legacyKey(message, 'ACK', via, toTag)
}

/** Whether a request comes from a client before RFC 3261, or from one that broke off behind the cookie. */
export function isLegacy(request: Message): boolean {
  const via = request.topVia
  return via !== undefined && !isUnique(via)
}

/** What a request has in common with its copies that came by other ways (§8.2.2.2); undefined inside a dialog. */
export function mergeKey(request: Message): string | undefined {
  if (request.to?.tag !== undefined) return undefined
  return flat(`${request.from?.tag}\n${request.callId}\n${request.cseq?.number} ${request.method}`)
}

/** The cookie alone says that a branch is unique, and is not. */
const isUnique = (via: Via) => via.hasMagicCookie && via.branch.length > MAGIC_COOKIE.length

/** §17.2.3 for clients before RFC 3261, whose branch identifies nothing. */
function legacyKey(request: Message, method: string, via: Via, toTag: string | undefined): string {
  const { requestUri, callId, cseq, from } = request
  return [method, requestUri, toTag, from?.tag, callId, cseq?.number, via.text].join('\n')
}

/** A CANCEL matches what it cancels whatever its method, though only for INVITE it has an effect (§9.1, §9.2). */
export const cancellable = [
  'INVITE',
  'REGISTER',
  'OPTIONS',
  'MESSAGE',
  'SUBSCRIBE',
  'NOTIFY',
  'PUBLISH',
  'BYE',
  'INFO',
  'UPDATE',
  'REFER',
  'PRACK',
] as const

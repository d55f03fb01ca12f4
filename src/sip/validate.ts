import { parseContacts } from './contact.ts'
import { H, headerName } from './header.ts'
import { headerBits } from './header-lines.ts'
import { limits } from './limits.ts'
import type { Message } from './message.ts'
import { METHODS } from './method.ts'
import { isNameAddr } from './name-addr.ts'
import type { HeaderField } from './response.ts'
import { MAGIC_COOKIE, responseTarget } from './via.ts'

/** Why a message is not processed: what `respond` needs. Of a response only the reason counts: nobody is answered. */
export interface Defect {
  readonly status: number
  readonly reason: string
  readonly headers?: readonly HeaderField[]
}

const bad = (reason: string, status = 400): Defect => ({ status, reason })

const MANDATORY = headerBits(H.via, H.from, H.to, H.callId, H.cseq)
const ADDRESSES = headerBits(H.from, H.to, H.callId)
const SINGLE = headerBits(H.from, H.to, H.callId, H.cseq, H.maxForwards)

/**
 * Whether a request may be processed at all (RFC 3261 §16.3 steps 1 and 2, §8.2): by the grammar of what is routed on, and
 * the limits. What a proxy does not look at is not judged; the deeper the check, the later it comes.
 */
export function checkRequest(request: Message): Defect | undefined {
  return (
    checkVersion(request) ??
    checkLines(request) ??
    checkRequestUri(request) ??
    checkTopVia(request) ??
    checkCSeq(request) ??
    checkAddresses(request) ??
    checkLength(request) ??
    checkContacts(request)
  )
}

/** Whether a response may be passed on; if not, it is dropped and counted (§16.7, §18.1.2). */
export function checkResponse(response: Message): Defect | undefined {
  return checkResponseButNextHop(response) ?? checkNextHop(response)
}

/** The same for who looks at the second Via himself. */
export function checkResponseButNextHop(response: Message): Defect | undefined {
  if (response.status === 0) return bad('Bad Status')
  return (
    checkLines(response) ??
    checkTopVia(response) ??
    (response.cseq === undefined ? bad('Bad CSeq') : undefined) ??
    checkLength(response)
  )
}

function checkVersion(request: Message): Defect | undefined {
  const { version } = request
  return version === 'SIP/2.0' || version.toUpperCase() === 'SIP/2.0'
    ? undefined
    : bad('Version Not Supported', 505)
}

/** Limits, and each mandatory header exactly once. */
function checkLines(message: Message): Defect | undefined {
  if (message.text.length > limits.messageBytes) return bad('Message Too Large', 513)
  if (message.lineCount > limits.headerCount) return bad('Too Many Headers', 513)
  if (message.hasMalformedLine) return bad('Malformed Header Line')
  if (!message.terminated) return bad('Headers Not Terminated')
  const isShort =
    message.headersEnd - message.headersStart <= limits.headerBytes && message.lineCount <= limits.viaCount
  return (isShort ? undefined : checkLineLimits(message)) ?? checkPresence(message)
}

function checkLineLimits(message: Message): Defect | undefined {
  for (let line = 0; line < message.lineCount; line++) {
    if (message.lineEnd(line) - message.lineStart(line) > limits.headerBytes)
      return bad('Header Too Long', 513)
  }
  return message.count(H.via) > limits.viaCount ? bad('Too Many Vias', 513) : undefined
}

function checkPresence({ present, repeated }: Message): Defect | undefined {
  if ((repeated & SINGLE) !== 0) return bad(`Repeated ${nameOf(repeated & SINGLE)}`)
  if ((MANDATORY & ~present) !== 0) return bad(`Missing ${nameOf(MANDATORY & ~present)}`)
  return undefined
}

function nameOf(mask: number): string {
  return headerName(31 - Math.clz32(mask))
}

function checkRequestUri(request: Message): Defect | undefined {
  if (request.requestUri.length > limits.uriBytes) return bad('Request-URI Too Long', 414)
  if (request.hasGoodUri) return undefined
  const { uri } = request
  if (uri === undefined) return bad('Bad Request-URI')
  if (!uri.isSip && uri.scheme !== 'tel') return bad('Unsupported URI Scheme', 416)
  // §19.1.1, table 1: a Request-URI has no headers.
  return uri.hasHeaders ? bad('Headers in Request-URI') : undefined
}

function checkTopVia(message: Message): Defect | undefined {
  if (message.isGood(H.via)) return undefined
  const via = message.topVia
  if (via === undefined) return bad('Bad Via')
  // RFC 4475 §3.2.1: the cookie alone names no transaction.
  return via.branch === MAGIC_COOKIE ? bad('Bad Branch') : undefined
}

function checkCSeq(request: Message): Defect | undefined {
  const { cseq } = request
  if (cseq === undefined) return bad('Bad CSeq')
  if (cseq.method === request.requestMethod) return undefined
  // RFC 4475 §3.3.17, §3.3.18: the other's method excuses no method that we know.
  return METHODS.includes(request.requestMethod) ? bad('CSeq Method Mismatch') : bad('Not Implemented', 501)
}

function checkAddresses(request: Message): Defect | undefined {
  if ((ADDRESSES & ~request.good) === 0) return undefined
  if (!isAddress(request, request.find(H.from))) return bad('Bad From')
  if (!isAddress(request, request.find(H.to))) return bad('Bad To')
  const callId = request.find(H.callId)
  return request.valueEnd(callId) === request.valueStart(callId) ? bad('Bad Call-ID') : undefined
}

const isAddress = (request: Message, line: number): boolean =>
  isNameAddr(request.text, request.valueStart(line), request.valueEnd(line))

/** §18.3: the body is as long as it says, or nobody knows where it ends. What came behind it is gone already. */
function checkLength(message: Message): Defect | undefined {
  const { contentLength } = message
  if (contentLength === undefined || message.text.length - message.bodyStart === contentLength)
    return undefined
  return bad('Bad Content-Length')
}

/** A registrar is the one who reads Contacts; elsewhere they are the end systems' business (§16.3 step 1). */
function checkContacts(request: Message): Defect | undefined {
  const line = request.requestMethod === 'REGISTER' ? request.find(H.contact) : -1
  if (line < 0 || request.isGood(H.contact)) return undefined
  return parseContacts(request.values(H.contact)) === undefined ? bad('Bad Contact') : undefined
}

/** RFC 4475 §3.3.10: nothing is sent to where the second Via points, if that is everybody. */
function checkNextHop(response: Message): Defect | undefined {
  const via = response.secondVia
  if (via === undefined) return response.values(H.via).length > 1 ? bad('Bad Second Via') : undefined
  return responseTarget(via) === undefined ? bad('Unroutable Second Via') : undefined
}

/** §16.3 step 3. Not for a request that is addressed to us (§11). */
export function checkMaxForwards(request: Message): Defect | undefined {
  return request.maxForwards === 0 ? bad('Too Many Hops', 483) : undefined
}

/** §16.3 step 5: what a proxy must understand. `supported` holds option tags in lower case. */
export function checkProxyRequire(request: Message, supported: ReadonlySet<string>): Defect | undefined {
  return checkOptions(request, H.proxyRequire, supported)
}

/** §8.2.2.3: what a UAS or registrar must understand. */
export function checkRequire(request: Message, supported: ReadonlySet<string>): Defect | undefined {
  return checkOptions(request, H.require, supported)
}

function checkOptions(request: Message, id: number, supported: ReadonlySet<string>): Defect | undefined {
  // §8.2.2.3: not in CANCEL, nor in an ACK, which could not be answered anyway.
  if (!request.has(id) || request.requestMethod === 'CANCEL' || request.requestMethod === 'ACK')
    return undefined
  const unsupported = request.values(id).filter((tag) => !supported.has(tag.toLowerCase()))
  if (unsupported.length === 0) return undefined
  return { status: 420, reason: 'Bad Extension', headers: [[H.unsupported, unsupported.join(', ')]] }
}

import type { Endpoint } from './endpoint.ts'
import { H, headerLine } from './header.ts'
import type { Message } from './message.ts'
import { reasonPhrase } from './status.ts'
import { statelessTag } from './tag.ts'
import { parseVia, responseTarget, viaFor } from './via.ts'

/** A header line to be written: its id (`H.…`) or its name, and its value. */
export type HeaderField = readonly [header: number | string, value: string]

export interface ResponseOptions {
  /** Default: the status code's own phrase. */
  readonly reason?: string
  /** Where the request came from: what `received` and `rport` of the top Via are to say. */
  readonly source?: Endpoint
  /** Default: a pure function of the request. Not used when the request has a To tag, nor in a 100. */
  readonly toTag?: string
  readonly headers?: readonly HeaderField[]
  /** Copy the Record-Route set: in a 1xx or 2xx that makes us the UAS of a dialog (RFC 3261 §12.1.1). */
  readonly recordRoute?: boolean
  readonly body?: string
  readonly contentType?: string
}

/**
 * Builds the response to a request (RFC 3261 §8.2.6). A malformed request is answered as far as its headers go: what it
 * has of From, To, Call-ID and CSeq is copied as it came, of repeated ones the first.
 * @returns `undefined` when nothing can or may be answered: a request without Via, an ACK, a response.
 */
export function respond(request: Message, status: number, options: ResponseOptions = {}): string | undefined {
  if (!request.isRequest || request.requestMethod === 'ACK' || !request.has(H.via)) return undefined
  let text = `SIP/2.0 ${status} ${options.reason ?? reasonPhrase(status)}\r\n`
  text += vias(request, options.source)
  if (options.recordRoute) text += copyAll(request, H.recordRoute)
  text +=
    copy(request, H.from) +
    to(request, status, options.toTag) +
    copy(request, H.callId) +
    copy(request, H.cseq)
  if (status === 100) text += copy(request, H.timestamp)
  for (const [header, value] of options.headers ?? []) text += line(header, value)
  const body = options.body ?? ''
  if (body !== '' && options.contentType !== undefined) text += line(H.contentType, options.contentType)
  return `${text}Content-Length: ${body.length}\r\n\r\n${body}`
}

/**
 * Where the response to a request goes when it is answered on the spot (§18.2.2): the source address, at the port that
 * the Via names, or the source port for who asked for it (RFC 3581). On a connection: back where it came from.
 */
export function answerTarget(request: Message, source: Endpoint): Endpoint {
  if (source.transport !== 'udp') return source
  const via = request.topVia ?? sentByOnly(request)
  if (via === undefined || via.hasRport) return source
  const target = responseTarget(via)
  return target === undefined ? source : { transport: 'udp', address: source.address, port: target.port }
}

/** The top Via without its parameters, for when they are what is malformed. */
function sentByOnly(request: Message) {
  return parseVia(request.value(H.via)?.split(';', 1)[0] ?? '')
}

function vias(request: Message, source: Endpoint | undefined): string {
  const stamped = source && request.topVia && viaFor(request.topVia, source)
  if (stamped === undefined) return copyAll(request, H.via)
  const first = request.firstLine(H.via)
  const rest = request.text.slice(request.firstEnd(first), request.valueEnd(first))
  return `Via: ${stamped}${rest}\r\n${copyAll(request, H.via, first)}`
}

function to(request: Message, status: number, toTag: string | undefined): string {
  const at = request.find(H.to)
  if (at < 0) return ''
  const value = raw(request, at)
  if (status === 100 || request.toTag !== undefined) return line(H.to, value)
  return line(H.to, `${value}${value.endsWith(';') ? '' : ';'}tag=${toTag ?? statelessTag(request)}`)
}

function copy(request: Message, id: number): string {
  const at = request.find(id)
  return at < 0 ? '' : line(id, raw(request, at))
}

function copyAll(request: Message, id: number, after = -1): string {
  let text = ''
  for (let at = request.find(id, after); at >= 0; at = request.find(id, at))
    text += line(id, raw(request, at))
  return text
}

/** Not unfolded: what is copied comes back byte for byte. */
function raw(request: Message, at: number): string {
  return request.text.slice(request.valueStart(at), request.valueEnd(at))
}

function line(header: number | string, value: string): string {
  return typeof header === 'number' ? headerLine(header, value) : `${header}: ${value}\r\n`
}

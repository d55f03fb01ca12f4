import {
  COLON,
  COMMA,
  classAt,
  DIGIT,
  equalsIgnoreCase,
  readNumber,
  SEMI,
  SLASH,
  skipLws,
  TOKEN,
  trimEnd,
} from './chars.ts'
import { defaultPort, type Endpoint, isTransportName } from './endpoint.ts'
import { canonicalIpv6, formatHostPort, hostName, isUnroutable, skipHost } from './host.ts'
import { findParam, found, readParam } from './params.ts'

/** RFC 3261 §8.1.1.7: a branch that begins so identifies its transaction all by itself. */
export const MAGIC_COOKIE = 'z9hG4bK'

/** One via-parm (RFC 3261 §20.42). */
export class Via {
  /** This value alone, as received. */
  readonly text: string
  /** In lower case: `udp`, …, also what we cannot speak ourselves. */
  readonly transport: string
  /** The sent-by's host: lower case, IPv6 without brackets in RFC 5952 form. */
  readonly host: string
  /** The sent-by's port; 0 when it names none. */
  readonly port: number
  /** Whether the client asked for RFC 3581. */
  readonly hasRport: boolean
  /** The value of `rport`; 0 when it has none, or a bad one. */
  readonly rport: number
  readonly #branchStart: number
  readonly #branchEnd: number
  /** The parameters from their `;` to what follows; empty ranges when they are not there. */
  readonly #receivedStart: number
  readonly #receivedEnd: number
  readonly #rportStart: number
  readonly #rportEnd: number
  readonly #paramsStart: number

  constructor(text: string, transport: string, host: string, port: number) {
    this.text = text
    this.transport = transport
    this.host = host
    this.port = port
    this.hasRport = part.hasRport
    this.rport = part.rport
    this.#branchStart = part.branchStart
    this.#branchEnd = part.branchEnd
    this.#receivedStart = part.receivedStart
    this.#receivedEnd = part.receivedEnd
    this.#rportStart = part.rportStart
    this.#rportEnd = part.rportEnd
    this.#paramsStart = part.paramsStart
  }

  /** '' when there is none (RFC 2543). */
  get branch(): string {
    return this.text.slice(this.#branchStart, this.#branchEnd)
  }

  /** Whether the branch is an RFC 3261 one. */
  get hasMagicCookie(): boolean {
    return this.#branchEnd - this.#branchStart >= 7 && this.text.startsWith(MAGIC_COOKIE, this.#branchStart)
  }

  /** Without brackets, in RFC 5952 form, whichever way it was written (RFC 5118 §4.5); undefined when absent. */
  get received(): string | undefined {
    return this.#receivedEnd === this.#receivedStart ? undefined : addressOf(this.param('received'))
  }

  get maddr(): string | undefined {
    return addressOf(this.param('maddr'))
  }

  get ttl(): number | undefined {
    const value = this.param('ttl')
    const ttl = value === undefined ? -1 : readNumber(value, 0, value.length, 255)
    return ttl < 0 ? undefined : ttl
  }

  /** From the first `;`, as received; '' when there are none. */
  get params(): string {
    return this.text.slice(this.#paramsStart)
  }

  /** The value of the parameter `name` (in lower case): '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    return findParam(this.text, name, this.#paramsStart, this.text.length)
  }

  /** This value with `received` (or without any), and the port in its `rport` if it has one. */
  stamped(received: string | undefined, port: number): string {
    const rport = this.hasRport ? `;rport=${port}` : ''
    const isRportFirst = this.#rportStart < this.#receivedStart
    // The later one first, so that the positions of the other still hold.
    let text = this.text
    if (isRportFirst) text = splice(text, this.#receivedStart, this.#receivedEnd, '')
    text = splice(text, this.#rportStart, this.#rportEnd, rport)
    if (!isRportFirst) text = splice(text, this.#receivedStart, this.#receivedEnd, '')
    return received === undefined ? text : `${text};received=${received}`
  }

  /** sent-by as it is compared in transaction matching (§17.2.3): the port always there. */
  get sentBy(): string {
    return formatHostPort(this.host, this.port === 0 ? defaultPort(this.transport) : this.port)
  }
}

function splice(text: string, start: number, end: number, insert: string): string {
  return start === end ? text : text.slice(0, start) + insert + text.slice(end)
}

function addressOf(value: string | undefined): string | undefined {
  if (value === undefined || !value.includes(':')) return value || undefined
  return canonicalIpv6(value.startsWith('[') ? value.slice(1, -1) : value)
}

/** The scanner's findings for the constructor. */
const part = {
  branchStart: 0,
  branchEnd: 0,
  receivedStart: 0,
  receivedEnd: 0,
  rportStart: 0,
  rportEnd: 0,
  hasRport: false,
  rport: 0,
  paramsStart: 0,
}

/**
 * Parses the Via value in `text[start, end)`, up to a comma if there is one; undefined when it is malformed. White
 * space, folded or not, may stand around every `/`, `:`, `;` and `=`.
 */
export function parseVia(text: string, start = 0, end = text.length): Via | undefined {
  const first = skipLws(text, start, end)
  const name = tokenBefore(text, first, end, SLASH)
  const version = name < 0 ? -1 : tokenBefore(text, name, end, SLASH)
  if (version < 0) return undefined
  const transportEnd = tokenEnd(text, version, end)
  const hostStart = skipLws(text, transportEnd, end)
  if (transportEnd === version || hostStart === transportEnd) return undefined

  const hostEnd = skipHost(text, hostStart, end)
  if (hostEnd < 0) return undefined
  let i = skipLws(text, hostEnd, end)
  let port = 0
  if (i < end && text.charCodeAt(i) === COLON) {
    const portStart = skipLws(text, i + 1, end)
    i = portStart
    while (i < end && (classAt(text, i) & DIGIT) !== 0) i++
    port = readNumber(text, portStart, i, 65_535)
    if (port <= 0) return undefined
    i = skipLws(text, i, end)
  }
  const host = hostName(text, hostStart, hostEnd)
  const paramsEnd = scanParams(text, i, end)
  if (host === undefined || paramsEnd < 0) return undefined
  return viaOf(
    text,
    first,
    trimEnd(text, first, paramsEnd),
    transportOf(text, version, transportEnd),
    host,
    port,
  )
}

/** Makes positions relative to the value, so that the Via needs no more than its own slice. */
function viaOf(text: string, start: number, end: number, transport: string, host: string, port: number): Via {
  part.branchStart -= start
  part.branchEnd -= start
  part.receivedStart -= start
  part.receivedEnd -= start
  part.rportStart -= start
  part.rportEnd -= start
  part.paramsStart = Math.min(part.paramsStart, end) - start
  return new Via(text.slice(start, end), transport, host, port)
}

/** Reads `token LWS separator LWS`; the index behind it, or -1. */
function tokenBefore(text: string, start: number, end: number, separator: number): number {
  const last = tokenEnd(text, start, end)
  const i = skipLws(text, last, end)
  return last === start || i >= end || text.charCodeAt(i) !== separator ? -1 : skipLws(text, i + 1, end)
}

function tokenEnd(text: string, start: number, end: number): number {
  let i = start
  while (i < end && (classAt(text, i) & TOKEN) !== 0) i++
  return i
}

/** Constants for what is common: no slice, and comparisons by identity. */
function transportOf(text: string, start: number, end: number): string {
  if (equalsIgnoreCase(text, start, end, 'udp')) return 'udp'
  if (equalsIgnoreCase(text, start, end, 'tcp')) return 'tcp'
  if (equalsIgnoreCase(text, start, end, 'tls')) return 'tls'
  return text.slice(start, end).toLowerCase()
}

/** Reads all parameters and notes those that every hop needs; the index of the comma or the end, or -1. */
function scanParams(text: string, start: number, end: number): number {
  part.branchStart =
    part.branchEnd =
    part.receivedStart =
    part.receivedEnd =
    part.rportStart =
    part.rportEnd =
      start
  part.hasRport = false
  part.rport = 0
  part.paramsStart = start
  let i = start
  while (i < end && text.charCodeAt(i) === SEMI) {
    const next = readParam(text, i + 1, end)
    if (next < 0 || !noteParam(text, i, next)) return -1
    i = next
  }
  return i === end || text.charCodeAt(i) === COMMA ? i : -1
}

/** False when a parameter comes a second time: which one is meant could be read differently by the next hop. */
function noteParam(text: string, start: number, end: number): boolean {
  const { nameStart, nameEnd, valueStart, valueEnd } = found
  if (equalsIgnoreCase(text, nameStart, nameEnd, 'branch')) {
    if (part.branchEnd > part.branchStart) return false
    part.branchStart = Math.max(valueStart, 0)
    part.branchEnd = valueStart < 0 ? part.branchStart : valueEnd
  } else if (equalsIgnoreCase(text, nameStart, nameEnd, 'rport')) {
    if (part.hasRport) return false
    part.hasRport = true
    part.rportStart = start
    part.rportEnd = end
    if (valueStart >= 0) part.rport = Math.max(0, readNumber(text, valueStart, valueEnd, 65_535))
  } else if (equalsIgnoreCase(text, nameStart, nameEnd, 'received')) {
    if (part.receivedEnd > part.receivedStart) return false
    part.receivedStart = start
    part.receivedEnd = end
  }
  return true
}

/**
 * What the top Via of a request must become on receipt: with `received` where the packet's source is not its sent-by
 * (RFC 3261 §18.2.1), and with the source port in `rport` where that is asked for, `received` then being obligatory
 * (RFC 3581 §4). A `received` or an `rport` value of the client's own making goes, or it could aim our answers at
 * others.
 * @returns a value for `Rewrite.replaceFirst(H.via, …)`; undefined when nothing is to be changed.
 */
export function viaFor(via: Via, source: Endpoint): string | undefined {
  const received = via.hasRport || via.host !== source.address ? source.address : undefined
  if (received === via.received && (!via.hasRport || via.rport === source.port)) return undefined
  return via.stamped(received, source.port)
}

/**
 * Where a response whose top Via this is goes (RFC 3261 §18.2.2, RFC 3581 §4). On a reliable transport that is only
 * for when the request's own connection is gone. undefined where nothing may be sent: an unknown transport, a
 * broadcast, multicast or unspecified address. The address is a name where the Via gives nothing better: to be resolved
 * by RFC 3263 §5.
 */
export function responseTarget(via: Via): Endpoint | undefined {
  const { transport } = via
  if (!isTransportName(transport)) return undefined
  const { received } = via
  const sentByPort = via.port === 0 ? defaultPort(transport) : via.port
  const maddr = transport === 'udp' && received === undefined ? via.maddr : undefined
  const address = received ?? maddr ?? via.host
  if (isUnroutable(address)) return undefined
  const usesRport = transport === 'udp' && received !== undefined && via.rport !== 0
  return { transport, address, port: usesRport ? via.rport : sentByPort }
}

/** A Via value of our own; `params` begins with `;` or is empty. */
export function formatVia(sender: Endpoint, branch: string, params = ''): string {
  const transport = sender.transport.toUpperCase()
  return `SIP/2.0/${transport} ${formatHostPort(sender.address, sender.port)};branch=${branch}${params}`
}

import { COLON, COMMA, DIGIT, numberAt, SEMI, SLASH, TOKEN, within } from './chars.ts'
import { defaultPort, type Endpoint, isTransportName } from './endpoint.ts'
import { canonicalIpv6, formatHostPort, hostName, isUnroutable, skipHost } from './host.ts'
import { findParam, found, readParam, unquote } from './params.ts'
import { VIA } from './patterns.ts'
import { byteAt, equalsIgnoreCase, load, readNumber, skip, skipLws, trimEnd } from './scan.ts'

/** RFC 3261 §8.1.1.7: a branch that begins so identifies its transaction all by itself. */
export const MAGIC_COOKIE = 'z9hG4bK'

/** One via-parm (RFC 3261 §20.42). */
export class Via {
  /** In lower case: `udp`, …, also what we cannot speak ourselves. */
  readonly transport: string
  /** The sent-by's host: lower case, IPv6 without brackets in RFC 5952 form. */
  readonly host: string
  /** The sent-by's port; 0 when it names none. */
  readonly port: number
  /** '' when there is none (RFC 2543). */
  readonly branch: string
  /** Without brackets, in RFC 5952 form, whichever way it was written (RFC 5118 §4.5); undefined when absent. */
  readonly received: string | undefined
  /** Whether the branch is an RFC 3261 one. */
  readonly hasMagicCookie: boolean
  /** Whether the client asked for RFC 3581. */
  readonly hasRport: boolean
  /** The value of `rport`; 0 when it has none, or a bad one. */
  readonly rport: number
  /** Positions are the source's, of which the value is a range. */
  readonly #source: string
  readonly #start: number
  readonly #end: number
  readonly #paramsStart: number
  /** The parameters from their `;` to what follows; empty ranges at the end when they are not there. */
  readonly #receivedStart: number
  readonly #receivedEnd: number
  readonly #rportStart: number
  readonly #rportEnd: number

  constructor(source: string, start: number, end: number, host: string, port: number) {
    this.transport = part.transport
    this.host = host
    this.port = port
    this.branch = source.slice(part.branchStart, part.branchEnd)
    this.hasMagicCookie = part.hasMagicCookie
    this.received =
      part.addressEnd > 0 ? addressOf(unquote(source.slice(part.addressStart, part.addressEnd))) : undefined
    this.hasRport = part.rportEnd > 0
    this.rport = part.rport
    this.#source = source
    this.#start = start
    this.#end = end
    this.#paramsStart = part.paramsStart
    this.#receivedStart = part.receivedEnd > 0 ? part.receivedStart : end
    this.#receivedEnd = part.receivedEnd > 0 ? part.receivedEnd : end
    this.#rportStart = part.rportStart
    this.#rportEnd = part.rportEnd
  }

  /** This value alone, as received. */
  get text(): string {
    return this.#source.slice(this.#start, this.#end)
  }

  get maddr(): string | undefined {
    return addressOf(this.param('maddr'))
  }

  get ttl(): number | undefined {
    const value = this.param('ttl')
    const ttl = value === undefined || !load(value) ? -1 : readNumber(0, value.length, 255)
    return ttl < 0 ? undefined : ttl
  }

  /** From the first `;`, as received; '' when there are none. */
  get params(): string {
    return this.#source.slice(this.#paramsStart, this.#end)
  }

  /** The value of the parameter `name` (in lower case): '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    return findParam(this.#source, name, this.#paramsStart, this.#end)
  }

  /** This value with `received` (or without any), and the port in its `rport` if it has one. */
  stamped(received: string | undefined, port: number): string {
    const before = this.#numbered(this.#start, this.#receivedStart, port)
    const kept =
      this.#receivedStart === this.#end ? before : before + this.#numbered(this.#receivedEnd, this.#end, port)
    if (received === undefined) return kept
    // A `;` with nothing behind it is let pass (see `readParam`), two of them would not be.
    return kept + (this.#source.charCodeAt(this.#end - 1) === SEMI ? 'received=' : ';received=') + received
  }

  /** A part of the source with the port in its `rport`, if the part has that. */
  #numbered(start: number, end: number, port: number): string {
    if (!this.hasRport || this.#rportStart < start || this.#rportEnd > end)
      return this.#source.slice(start, end)
    // Put together from the right: the parameter is short enough to be copied, and so one piece less of the whole.
    const rport = `;rport=${port}`
    const kept = this.#source.slice(start, this.#rportStart) + rport
    return this.#rportEnd === end ? kept : kept + this.#source.slice(this.#rportEnd, end)
  }

  /** sent-by as it is compared in transaction matching (§17.2.3): the port always there. */
  get sentBy(): string {
    return formatHostPort(this.host, this.port === 0 ? defaultPort(this.transport) : this.port)
  }
}

function addressOf(value: string | undefined): string | undefined {
  if (value === undefined || !value.includes(':')) return value || undefined
  return canonicalIpv6(value.startsWith('[') ? value.slice(1, -1) : value)
}

/**
 * The findings for the constructor; what is not there ends at 0. Positions only: to store a string of the message in an
 * object as old as this one takes 20 ns.
 */
const part = {
  transport: 'udp',
  paramsStart: 0,
  branchStart: 0,
  branchEnd: 0,
  hasMagicCookie: false,
  receivedStart: 0,
  receivedEnd: 0,
  /** The value of `received`. */
  addressStart: 0,
  addressEnd: 0,
  rportStart: 0,
  rportEnd: 0,
  rport: 0,
}

function forgetParams(paramsStart: number): void {
  part.paramsStart = paramsStart
  part.branchStart = part.branchEnd = 0
  part.hasMagicCookie = false
  part.receivedStart = part.receivedEnd = part.addressStart = part.addressEnd = 0
  part.rportStart = part.rportEnd = part.rport = 0
}

const USUAL = new RegExp(VIA, 'y')

/**
 * Parses the Via value in the range, up to a comma if there is one; undefined when it is malformed. White space, folded
 * or not, may stand around every `/`, `:`, `;` and `=`.
 */
export function parseVia(text: string, start = 0, end = text.length): Via | undefined {
  USUAL.lastIndex = start
  const last = USUAL.test(text) ? USUAL.lastIndex : Number.POSITIVE_INFINITY
  const isWhole = last === end || (last < end && text.charCodeAt(last) === COMMA)
  return isWhole ? usualVia(text, start, last) : scanVia(text, start, end)
}

/** What the pattern has recognised. */
export function usualVia(text: string, start: number, end: number): Via {
  const hostStart = start + 'SIP/2.0/UDP '.length
  const paramsStart = text.indexOf(';', hostStart)
  const hostEnd = within(text.indexOf(':', hostStart), paramsStart)
  const port = hostEnd === paramsStart ? 0 : numberAt(text, hostEnd + 1, paramsStart)
  part.transport = usualTransport(text, start)
  forgetParams(paramsStart)
  for (let i = paramsStart; i < end; ) {
    const next = within(text.indexOf(';', i + 1), end)
    noteUsual(text, i, next)
    i = next
  }
  return new Via(text, start, end, text.slice(hostStart, hostEnd), port)
}

function usualTransport(text: string, start: number): string {
  if (text.charCodeAt(start + 'SIP/2.0/'.length) === 0x55) return 'udp'
  return text.charCodeAt(start + 'SIP/2.0/T'.length) === 0x43 ? 'tcp' : 'tls'
}

/** The pattern lets no other parameter begin with these letters. */
function noteUsual(text: string, start: number, end: number): void {
  if (text.startsWith('b', start + 1)) {
    part.branchStart = start + ';branch='.length
    part.branchEnd = end
    part.hasMagicCookie = true
  } else if (text.startsWith('rp', start + 1)) {
    part.rportStart = start
    part.rportEnd = end
    part.rport = numberAt(text, start + ';rport='.length, end)
  } else if (text.startsWith('re', start + 1)) {
    part.receivedStart = start
    part.receivedEnd = part.addressEnd = end
    part.addressStart = start + ';received='.length
  }
}

/** The whole grammar, for what is spelt less usually. */
export function scanVia(text: string, start = 0, end = text.length): Via | undefined {
  if (!load(text)) return undefined
  const first = skipLws(start, end)
  const hostStart = scanProtocol(text, first, end)
  if (hostStart < 0) return undefined
  const hostEnd = skipHost(hostStart, end)
  if (hostEnd < 0) return undefined
  let i = skipLws(hostEnd, end)
  let port = 0
  if (i < end && byteAt(i) === COLON) {
    const portStart = skipLws(i + 1, end)
    i = skip(DIGIT, portStart, end)
    port = readNumber(portStart, i, 65_535)
    if (port <= 0) return undefined
    i = skipLws(i, end)
  }
  const paramsEnd = scanParams(text, i, end)
  const host = hostName(text, hostStart, hostEnd)
  if (host === undefined || paramsEnd < 0) return undefined
  return new Via(text, first, trimEnd(first, paramsEnd), host, port)
}

/** Notes the transport; the index of the sent-by, or -1. */
function scanProtocol(text: string, start: number, end: number): number {
  const version = skipProtocolPart(start, end)
  const transport = version < 0 ? -1 : skipProtocolPart(version, end)
  const transportEnd = transport < 0 ? -1 : skip(TOKEN, transport, end)
  const hostStart = skipLws(transportEnd, end)
  if (transportEnd <= transport || hostStart === transportEnd) return -1
  part.transport = transportOf(text, transport, transportEnd)
  return hostStart
}

/** The index behind `token LWS "/" LWS`, or -1. */
function skipProtocolPart(start: number, end: number): number {
  const tokenEnd = skip(TOKEN, start, end)
  const slash = skipLws(tokenEnd, end)
  return tokenEnd === start || slash >= end || byteAt(slash) !== SLASH ? -1 : skipLws(slash + 1, end)
}

/** Constants for what is common: no slice, and comparisons by identity. */
function transportOf(text: string, start: number, end: number): string {
  if (equalsIgnoreCase(start, end, 'udp')) return 'udp'
  if (equalsIgnoreCase(start, end, 'tcp')) return 'tcp'
  if (equalsIgnoreCase(start, end, 'tls')) return 'tls'
  return text.slice(start, end).toLowerCase()
}

/** Reads all parameters and notes those that every hop needs; the index of the comma or the end, or -1. */
function scanParams(text: string, start: number, end: number): number {
  forgetParams(start)
  let i = start
  while (i < end && byteAt(i) === SEMI) {
    const next = readParam(i + 1, end)
    if (next < 0 || !noteParam(text, i, next)) return -1
    i = next
  }
  return i === end || byteAt(i) === COMMA ? i : -1
}

/** False when a parameter comes a second time: which one is meant could be read differently by the next hop. */
function noteParam(text: string, start: number, end: number): boolean {
  const { nameStart, nameEnd, valueStart, valueEnd } = found
  if (equalsIgnoreCase(nameStart, nameEnd, 'branch')) {
    if (part.branchEnd > part.branchStart) return false
    part.branchStart = Math.max(valueStart, 0)
    part.branchEnd = valueStart < 0 ? 0 : valueEnd
    part.hasMagicCookie = part.branchEnd > 0 && text.slice(valueStart, valueEnd).startsWith(MAGIC_COOKIE)
  } else if (equalsIgnoreCase(nameStart, nameEnd, 'rport')) {
    if (part.rportEnd > 0) return false
    part.rportStart = start
    part.rportEnd = end
    if (valueStart >= 0) part.rport = Math.max(0, readNumber(valueStart, valueEnd, 65_535))
  } else if (equalsIgnoreCase(nameStart, nameEnd, 'received')) {
    if (part.receivedEnd > 0) return false
    part.receivedStart = start
    part.receivedEnd = end
    if (valueStart < 0) return true
    part.addressStart = valueStart
    part.addressEnd = valueEnd
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

const PROTOCOLS = {
  udp: 'SIP/2.0/UDP',
  tcp: 'SIP/2.0/TCP',
  tls: 'SIP/2.0/TLS',
  ws: 'SIP/2.0/WS',
  wss: 'SIP/2.0/WSS',
} as const

/** A Via value of our own; `params` begins with `;` or is empty. */
export function formatVia(sender: Endpoint, branch: string, params = ''): string {
  return sentBy(sender) + branch + params
}

/** A Via up to its branch. A process has few addresses of its own, and putting it together takes 80 ns. */
function sentBy(sender: Endpoint): string {
  let text = sentByOf.get(sender)
  if (text === undefined) {
    text = `${PROTOCOLS[sender.transport]} ${formatHostPort(sender.address, sender.port)};branch=`
    sentByOf.set(sender, text)
  }
  return text
}

const sentByOf = new WeakMap<Endpoint, string>()

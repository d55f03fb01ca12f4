import { AT, COLON, DIGIT, EQUALS, numberAt, PERCENT, QUESTION, SEMI, URI, USER, within } from './chars.ts'
import { decodeEscapes } from './escapes.ts'
import { formatHostPort, hostName, skipHost } from './host.ts'
import { SIP_URI } from './patterns.ts'
import { byteAt, equalsIgnoreCase, indexOf, isEscape, isOf, load, readNumber, skip } from './scan.ts'

/** `sip`, `sips` and `tel` are understood; of any other scheme only the name is known. */
export type Scheme = 'sip' | 'sips' | 'tel' | (string & {})

/**
 * A parsed URI (RFC 3261 §19.1, RFC 3966 §3). What is routed on is there at once; the rest is looked up in the text
 * when asked for.
 */
export class Uri {
  /** In lower case. */
  readonly scheme: Scheme
  /** As received, escapes and user parameters included, without password; '' when there is none. tel: the number. */
  readonly user: string
  /** Lower case; IPv6 without brackets, RFC 5952 form; '' for tel and unknown schemes. */
  readonly host: string
  /** 0 when the URI names none, which is not the same as naming the default (§19.1.4). */
  readonly port: number
  /** Positions are the source's, of which the URI is a range. */
  readonly #source: string
  readonly #start: number
  readonly #end: number
  readonly #userEnd: number
  readonly #passwordEnd: number
  readonly #paramsStart: number
  readonly #headersStart: number

  constructor(
    source: string,
    start: number,
    end: number,
    scheme: Scheme,
    user: string,
    host: string,
    port: number,
  ) {
    this.scheme = scheme
    this.user = user
    this.host = host
    this.port = port
    this.#source = source
    this.#start = start
    this.#end = end
    this.#userEnd = part.userEnd
    this.#passwordEnd = part.passwordEnd
    this.#paramsStart = part.paramsStart
    this.#headersStart = part.headersStart
  }

  /** As received. */
  get text(): string {
    return this.#source.slice(this.#start, this.#end)
  }

  get isSip(): boolean {
    return this.scheme === 'sip' || this.scheme === 'sips'
  }

  /** The user part with every escape decoded: for display and digit analysis, never for comparison. */
  get userDecoded(): string {
    return decodeEscapes(this.user)
  }

  get password(): string | undefined {
    return this.#passwordEnd > this.#userEnd
      ? this.#source.slice(this.#userEnd + 1, this.#passwordEnd)
      : undefined
  }

  /** From the first `;` up to the headers, as received; '' when there are none. */
  get params(): string {
    return this.#source.slice(this.#paramsStart, this.#headersStart)
  }

  /** Behind the `?`, as received; '' when there are none. */
  get headers(): string {
    return this.#source.slice(this.#headersStart + 1, this.#end)
  }

  get hasHeaders(): boolean {
    return this.#headersStart < this.#end
  }

  /** The value of the parameter `name` (in lower case), unescaped: '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    const end = this.#headersStart
    if (this.#paramsStart === end || !load(this.#source)) return undefined
    for (let i = this.#paramsStart; i < end; ) {
      const next = indexOf(SEMI, i + 1, end)
      const paramEnd = next < 0 ? end : next
      const equals = indexOf(EQUALS, i + 1, paramEnd)
      if (isNamed(this.#source, i + 1, equals < 0 ? paramEnd : equals, name)) {
        return equals < 0 ? '' : decodeEscapes(this.#source.slice(equals + 1, paramEnd))
      }
      i = paramEnd
    }
    return undefined
  }

  hasParam(name: string): boolean {
    return this.param(name) !== undefined
  }

  /** Host and port as they are written: `example.com`, `[2001:db8::1]:5070`. */
  get hostPort(): string {
    return formatHostPort(this.host, this.port)
  }

  toString(): string {
    return this.text
  }
}

/** The scanner's findings for the constructor. */
const part = { userEnd: 0, passwordEnd: 0, paramsStart: 0, headersStart: 0 }

/** Names may be escaped (RFC 4475 §3.1.1.3), which hardly anybody does: only then is a string made. */
function isNamed(text: string, start: number, end: number, name: string): boolean {
  if (equalsIgnoreCase(start, end, name)) return true
  return end - start > name.length && decodeEscapes(text.slice(start, end)).toLowerCase() === name
}

const USUAL = new RegExp(SIP_URI, 'y')

/** Parses the URI that is all of the range; undefined when it is malformed by its scheme's grammar. */
export function parseUri(text: string, start = 0, end = text.length): Uri | undefined {
  USUAL.lastIndex = start
  return USUAL.test(text) && USUAL.lastIndex === end ? usualUri(text, start, end) : scanUri(text, start, end)
}

/** What the pattern has recognised. */
export function usualUri(text: string, start: number, end: number): Uri {
  const userStart = start + 'sip:'.length
  const at = text.indexOf('@', userStart)
  const hasUser = at >= 0 && at < end
  const hostStart = hasUser ? at + 1 : userStart
  part.userEnd = part.passwordEnd = hasUser ? at : userStart
  part.paramsStart = within(text.indexOf(';', hostStart), end)
  part.headersStart = end
  const hostEnd = within(text.indexOf(':', hostStart), part.paramsStart)
  const port = hostEnd === part.paramsStart ? 0 : numberAt(text, hostEnd + 1, part.paramsStart)
  const user = hasUser ? text.slice(userStart, at) : ''
  return new Uri(text, start, end, 'sip', user, text.slice(hostStart, hostEnd), port)
}

/** The whole grammar, for what is spelt less usually. */
export function scanUri(text: string, start = 0, end = text.length): Uri | undefined {
  if (!load(text)) return undefined
  const colon = indexOf(COLON, start, end)
  switch (colon - start) {
    case 3:
      if (equalsIgnoreCase(start, colon, 'sip')) return parseSip(text, start, end, 'sip', colon + 1)
      if (equalsIgnoreCase(start, colon, 'tel')) return parseTel(text, start, end)
      break
    case 4:
      if (equalsIgnoreCase(start, colon, 'sips')) return parseSip(text, start, end, 'sips', colon + 1)
  }
  return colon > start ? parseOther(text, start, end, colon) : undefined
}

function parseSip(
  text: string,
  start: number,
  end: number,
  scheme: Scheme,
  userStart: number,
): Uri | undefined {
  const hostStart = scanUser(userStart, end)
  const hostEnd = skipHost(hostStart, end)
  if (hostEnd < 0) return undefined
  const port = scanPort(hostEnd, end)
  if (port < 0 || !scanTail(part.paramsStart, end)) return undefined
  const host = hostName(text, hostStart, hostEnd)
  const user = part.userEnd > userStart ? text.slice(userStart, part.userEnd) : ''
  return host === undefined ? undefined : new Uri(text, start, end, scheme, user, host, port)
}

/**
 * Finds where the host starts: behind the `@`, which unescaped stands nowhere else. The user part may itself hold `;` and
 * `?` (RFC 4475 §3.1.1.9), so only a character that it may not hold proves that there is none.
 */
function scanUser(start: number, end: number): number {
  let colon = -1
  let i = skip(USER, start, end)
  for (; i < end; i = skip(USER, i, end)) {
    const c = byteAt(i)
    if (c === AT) {
      part.userEnd = colon < 0 ? i : colon
      part.passwordEnd = i
      return i + 1
    }
    if (c === COLON) {
      if (colon < 0) colon = i
      i++
    } else if (c === PERCENT && isEscape(i, end)) i += 3
    else break
  }
  part.userEnd = part.passwordEnd = start
  return start
}

/** Reads `:port` if it is there and leaves the start of the parameters; -1 when what follows the host is not a port. */
function scanPort(start: number, end: number): number {
  part.paramsStart = start
  if (start === end || byteAt(start) !== COLON) return 0
  part.paramsStart = skip(DIGIT, start + 1, end)
  const port = readNumber(start + 1, part.paramsStart, 65_535)
  return port === 0 ? -1 : port
}

/** Checks parameters and headers: legal characters, whole escapes, no empty parameter but a trailing `;`. */
function scanTail(start: number, end: number): boolean {
  let i = start
  while (i < end && byteAt(i) === SEMI) {
    const next = skipEscaped(i + 1, end)
    if (next === i + 1 ? next < end : byteAt(i + 1) === EQUALS) return false
    i = next
  }
  part.headersStart = i
  if (i === end) return true
  if (byteAt(i) !== QUESTION) return false
  for (i = skipEscaped(i + 1, end); i < end; i = skipEscaped(i + 1, end))
    if (byteAt(i) !== QUESTION) return false
  return true
}

/** The index of the first byte that is neither of class URI nor part of an escape, or `end`. */
function skipEscaped(start: number, end: number): number {
  let i = skip(URI, start, end)
  while (i < end && isEscape(i, end)) i = skip(URI, i + 3, end)
  return i
}

/** RFC 3966 §3: a global number, or a local one with its context; phones leave the context out, so it is not asked for. */
function parseTel(text: string, start: number, end: number): Uri | undefined {
  const semi = indexOf(SEMI, start, end)
  const numberEnd = semi < 0 ? end : semi
  part.userEnd = part.passwordEnd = part.paramsStart = numberEnd
  const number = text.slice(start + 4, numberEnd)
  if (!/^\+?[-.()]*[0-9a-fA-F*#][0-9a-fA-F*#.()-]*$/.test(number) || !scanTail(numberEnd, end))
    return undefined
  return part.headersStart === end ? new Uri(text, start, end, 'tel', number, '', 0) : undefined
}

function parseOther(text: string, start: number, end: number, colon: number): Uri | undefined {
  const scheme = text.slice(start, colon).toLowerCase()
  if (!/^[a-z][a-z0-9+.-]*$/.test(scheme) || colon + 1 === end) return undefined
  for (let i = colon + 1; i < end; i++) {
    const c = byteAt(i)
    if (!isOf(URI, i) && c !== PERCENT && c !== SEMI && c !== QUESTION && c !== AT) return undefined
  }
  part.userEnd = part.passwordEnd = part.paramsStart = part.headersStart = end
  return new Uri(text, start, end, scheme, '', '', 0)
}

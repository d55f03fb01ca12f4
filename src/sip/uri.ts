import {
  AT,
  COLON,
  classAt,
  DIGIT,
  EQUALS,
  equalsIgnoreCase,
  isEscape,
  PERCENT,
  QUESTION,
  readNumber,
  SEMI,
  URI,
  USER,
} from './chars.ts'
import { decodeEscapes } from './escapes.ts'
import { formatHostPort, hostName, skipHost } from './host.ts'

/** `sip`, `sips` and `tel` are understood; of any other scheme only the name is known. */
export type Scheme = 'sip' | 'sips' | 'tel' | (string & {})

/** The component boundaries of a URI; a class of its own would cost a second allocation, so it is the scanner's. */
const part = { userEnd: 0, passwordEnd: 0, hostStart: 0, hostEnd: 0, paramsStart: 0, headersStart: 0 }

/**
 * A parsed URI (RFC 3261 §19.1, RFC 3966 §3). What is routed on is there at once; the rest is looked up in the text
 * when asked for.
 */
export class Uri {
  /** As received. */
  readonly text: string
  /** In lower case. */
  readonly scheme: Scheme
  /** As received, escapes and user parameters included, without password; '' when there is none. tel: the number. */
  readonly user: string
  /** Lower case; IPv6 without brackets, RFC 5952 form; '' for tel and unknown schemes. */
  readonly host: string
  /** 0 when the URI names none, which is not the same as naming the default (§19.1.4). */
  readonly port: number
  readonly #userEnd: number
  readonly #passwordEnd: number
  readonly #paramsStart: number
  readonly #headersStart: number

  constructor(text: string, scheme: Scheme, user: string, host: string, port: number) {
    this.text = text
    this.scheme = scheme
    this.user = user
    this.host = host
    this.port = port
    this.#userEnd = part.userEnd
    this.#passwordEnd = part.passwordEnd
    this.#paramsStart = part.paramsStart
    this.#headersStart = part.headersStart
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
      ? this.text.slice(this.#userEnd + 1, this.#passwordEnd)
      : undefined
  }

  /** From the first `;` up to the headers, as received; '' when there are none. */
  get params(): string {
    return this.text.slice(this.#paramsStart, this.#headersStart)
  }

  /** Behind the `?`, as received; '' when there are none. */
  get headers(): string {
    return this.text.slice(this.#headersStart + 1)
  }

  get hasHeaders(): boolean {
    return this.#headersStart < this.text.length
  }

  /** The value of the parameter `name` (in lower case), unescaped: '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    const end = this.#headersStart
    if (this.#paramsStart === end) return undefined
    for (let i = this.#paramsStart; i < end; ) {
      const next = nextSemi(this.text, i + 1, end)
      const nameEnd = equalsSign(this.text, i + 1, next)
      if (isNamed(this.text, i + 1, nameEnd, name)) {
        return nameEnd === next ? '' : decodeEscapes(this.text.slice(nameEnd + 1, next))
      }
      i = next
    }
    return undefined
  }

  hasParam(name: string): boolean {
    return this.param(name) !== undefined
  }

  /** The authority of the URI, to be compared and connected to: `example.com`, `[2001:db8::1]:5070`. */
  get hostPort(): string {
    return formatHostPort(this.host, this.port)
  }

  toString(): string {
    return this.text
  }
}

function nextSemi(text: string, start: number, end: number): number {
  let i = start
  while (i < end && text.charCodeAt(i) !== SEMI) i++
  return i
}

function equalsSign(text: string, start: number, end: number): number {
  let i = start
  while (i < end && text.charCodeAt(i) !== EQUALS) i++
  return i
}

/** Names may be escaped (RFC 4475 §3.1.1.3), which hardly anybody does: only then is a string made. */
function isNamed(text: string, start: number, end: number, name: string): boolean {
  if (equalsIgnoreCase(text, start, end, name)) return true
  return end - start > name.length && decodeEscapes(text.slice(start, end)).toLowerCase() === name
}

/** Parses a URI that is all of `text`; undefined when it is malformed by its scheme's grammar. */
export function parseUri(text: string): Uri | undefined {
  const colon = text.indexOf(':')
  if (colon === 3 && equalsIgnoreCase(text, 0, 3, 'sip')) return parseSip(text, 'sip', 4)
  if (colon === 4 && equalsIgnoreCase(text, 0, 4, 'sips')) return parseSip(text, 'sips', 5)
  if (colon === 3 && equalsIgnoreCase(text, 0, 3, 'tel')) return parseTel(text)
  return colon > 0 ? parseOther(text, colon) : undefined
}

function parseSip(text: string, scheme: Scheme, start: number): Uri | undefined {
  // Unescaped, `@` stands nowhere but behind the user part, which may itself hold `;` and `?` (RFC 4475 §3.1.1.9).
  const at = text.indexOf('@', start)
  if (!scanUser(text, start, at)) return undefined
  part.hostStart = at < 0 ? start : at + 1
  part.hostEnd = skipHost(text, part.hostStart, text.length)
  if (part.hostEnd < 0) return undefined
  const port = scanPort(text, part.hostEnd)
  if (port < 0 || !scanTail(text, part.paramsStart)) return undefined
  const host = hostName(text, part.hostStart, part.hostEnd)
  if (host === undefined) return undefined
  return new Uri(text, scheme, part.userEnd > start ? text.slice(start, part.userEnd) : '', host, port)
}

function scanUser(text: string, start: number, at: number): boolean {
  part.userEnd = part.passwordEnd = Math.max(at, start)
  for (let i = start; i < at; i++) {
    if ((classAt(text, i) & USER) !== 0) continue
    const c = text.charCodeAt(i)
    if (c === COLON && part.userEnd === at) part.userEnd = i
    else if (c !== PERCENT || !isEscape(text, i, at)) return false
  }
  return true
}

/** Reads `:port` if it is there and leaves the start of the parameters; -1 when what follows the host is not a port. */
function scanPort(text: string, start: number): number {
  part.paramsStart = start
  if (start >= text.length || text.charCodeAt(start) !== COLON) return 0
  let end = start + 1
  while (end < text.length && (classAt(text, end) & DIGIT) !== 0) end++
  part.paramsStart = end
  const port = readNumber(text, start + 1, end, 65_535)
  return port === 0 ? -1 : port
}

/** Checks parameters and headers: legal characters, whole escapes, no empty parameter but a trailing `;`. */
function scanTail(text: string, start: number): boolean {
  let i = start
  part.headersStart = text.length
  let previous = SEMI
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === QUESTION) break
    if (i === start && c !== SEMI) return false
    if (previous === SEMI && (c === EQUALS || (c === SEMI && i > start))) return false
    if (c !== SEMI && (classAt(text, i) & URI) === 0 && !(c === PERCENT && isEscape(text, i, text.length)))
      return false
    previous = c
  }
  part.headersStart = i
  for (i++; i < text.length; i++) {
    if ((classAt(text, i) & URI) !== 0) continue
    const c = text.charCodeAt(i)
    if (c !== QUESTION && !(c === PERCENT && isEscape(text, i, text.length))) return false
  }
  return true
}

/** RFC 3966 §3: a global number, or a local one with its context; phones leave the context out, so it is not asked for. */
function parseTel(text: string): Uri | undefined {
  let end = 4
  while (end < text.length && text.charCodeAt(end) !== SEMI) end++
  part.userEnd = part.passwordEnd = part.paramsStart = end
  const number = text.slice(4, end)
  if (!/^\+?[0-9a-fA-F*#.()-]+$/.test(number) || !/[0-9a-fA-F*#]/.test(number) || !scanTail(text, end))
    return undefined
  return part.headersStart === text.length ? new Uri(text, 'tel', number, '', 0) : undefined
}

function parseOther(text: string, colon: number): Uri | undefined {
  if (!/^[a-z][a-z0-9+.-]*$/i.test(text.slice(0, colon)) || colon + 1 === text.length) return undefined
  for (let i = colon + 1; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const isVisible =
      (classAt(text, i) & URI) !== 0 || c === PERCENT || c === SEMI || c === QUESTION || c === AT
    if (!isVisible) return undefined
  }
  part.userEnd = part.passwordEnd = part.paramsStart = part.headersStart = text.length
  return new Uri(text, text.slice(0, colon).toLowerCase(), '', '', 0)
}

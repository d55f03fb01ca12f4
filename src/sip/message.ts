import { COLON, COMMA, CR, classAt, HTAB, LF, readNumber, SP, skipLws, TOKEN, trimEnd } from './chars.ts'
import { type CSeq, parseCSeq } from './cseq.ts'
import { H, headerId, isListHeader, usualHeaderId } from './header.ts'
import { type NameAddr, parseNameAddr } from './name-addr.ts'
import { elementEnd, splitList } from './params.ts'
import { parseUri, type Uri } from './uri.ts'
import { parseVia, type Via } from './via.ts'

const VERSION = 'SIP/2.0'

// Four numbers a header line: id, start of the line, start and end of the value. A flat array of small
// integers costs no object per header; measured, it is half of the price of the objects.
const WIDTH = 4

/**
 * One SIP message as it was received: text, and where its headers lie. It never changes; what is sent on is a
 * {@link Rewrite} of it. Text is latin1, one character a byte, so bodies and UTF-8 pass unharmed.
 *
 * Header lines are numbered from 0 in their order; `-1` means there is none. Typed headers are parsed when they
 * are first asked for, and are `undefined` where missing or malformed. Nothing here throws on any input.
 *
 * Its strings are slices that keep the whole text alive: `detach` what is stored for longer than the message.
 */
export class Message {
  /** From the start line to the end of the body; what came before or after is no part of the message. */
  readonly text: string
  readonly isRequest: boolean
  /** Of the request line; '' for a response (see {@link cseq}). */
  readonly requestMethod: string
  /** As written; '' for a response. */
  readonly requestUri: string
  /** 100…699; 0 for a request, and for a response whose status is no such number. */
  readonly status: number
  /** The version as written, `SIP/2.0` in any case if it is ours. */
  readonly version: string
  /** The start line is spaced more widely than the grammar allows (RFC 4475 §3.1.2.9): to be respelled when sent on. */
  readonly looseStartLine: boolean
  /** Where the first header line begins. */
  readonly headersStart: number
  /** Where the last header line ends: the empty line, or the end of an unterminated message. */
  readonly headersEnd: number
  readonly bodyStart: number
  /** False when the empty line after the headers is missing. */
  readonly terminated: boolean
  /** A header line without a colon or with a name that is no token. */
  readonly hasMalformedLine: boolean
  /** Bytes that Content-Length claims, `undefined` without one, `NaN` when malformed or contradictory. */
  readonly contentLength: number | undefined

  #lines: number[]
  #uri: Uri | undefined | null = null
  #topVia: Via | undefined | null = null
  #from: NameAddr | undefined | null = null
  #to: NameAddr | undefined | null = null
  #cseq: CSeq | undefined | null = null

  constructor(text: string, start: StartLine) {
    const lines: number[] = []
    let contentLength: number | undefined
    let malformed = false
    let terminated = false
    let at = start.end
    let bodyStart = text.length
    let nextColon = 0

    while (at < text.length) {
      const first = text.charCodeAt(at)
      if (first === LF || (first === CR && text.charCodeAt(at + 1) === LF)) {
        terminated = true
        bodyStart = at + (first === LF ? 1 : 2)
        break
      }
      const next = nextLine(text, at)
      // Looked for once, also where no line has any: or lines without colon would cost the square of their number.
      if (nextColon < at) nextColon = text.indexOf(':', at)
      if (nextColon < 0) nextColon = text.length
      let colon = nextColon
      let id = colon > at && colon < next ? usualHeaderId(text, at, colon) : H.other
      let nameEnd = colon
      if (id === H.other) {
        nameEnd = tokenEnd(text, at, next)
        colon = skipLws(text, nameEnd, next)
      }
      if (nameEnd === at || colon === next || text.charCodeAt(colon) !== COLON) {
        malformed = true
        lines.push(H.other, at, at, at)
      } else {
        if (id === H.other) id = headerId(text, at, nameEnd)
        // In this order an empty value lies behind its colon, not behind its line.
        const valueEnd = trimEnd(text, colon + 1, next)
        const valueStart = skipLws(text, colon + 1, valueEnd)
        lines.push(id, at, valueStart, valueEnd)
        if (id === H.contentLength) contentLength = mergeLength(contentLength, text, valueStart, valueEnd)
      }
      at = next
    }

    this.isRequest = start.status === undefined
    this.requestMethod = start.method
    this.requestUri = start.uri
    this.status = start.status ?? 0
    this.version = start.version
    this.looseStartLine = start.loose
    this.headersStart = start.end
    this.headersEnd = at
    this.bodyStart = bodyStart
    this.terminated = terminated
    this.hasMalformedLine = malformed
    this.contentLength = contentLength
    this.#lines = lines
    // RFC 3261 §18.3: octets after the body are discarded.
    const end = bodyStart + (contentLength ?? Number.POSITIVE_INFINITY)
    this.text = end < text.length ? text.slice(0, end) : text
  }

  /** The request's method, or the method a response answers (its CSeq's; '' if that is malformed). */
  get method(): string {
    return this.isRequest ? this.requestMethod : (this.cseq?.method ?? '')
  }

  /** The Request-URI, parsed when first asked for; `undefined` when malformed. */
  get uri(): Uri | undefined {
    if (this.#uri === null) this.#uri = parseUri(this.requestUri)
    return this.#uri
  }

  /** A response's reason phrase, possibly empty. */
  get reason(): string {
    if (this.isRequest) return ''
    const end = trimEnd(this.text, 0, this.headersStart)
    const status = this.text.indexOf(' ') + 1
    const space = this.text.indexOf(' ', status)
    return space < 0 || space >= end ? '' : this.text.slice(space + 1, end)
  }

  get body(): string {
    return this.text.slice(this.bodyStart)
  }

  /** How many header lines there are. */
  get lineCount(): number {
    return this.#lines.length / WIDTH
  }

  /** The first line of header `id` after line `after`. */
  find(id: number, after = -1): number {
    const lines = this.#lines
    for (let i = (after + 1) * WIDTH; i < lines.length; i += WIDTH) if (lines[i] === id) return i / WIDTH
    return -1
  }

  has(id: number): boolean {
    return this.find(id) >= 0
  }

  /** How many lines of header `id` there are. */
  count(id: number): number {
    let count = 0
    for (let line = this.find(id); line >= 0; line = this.find(id, line)) count++
    return count
  }

  lineId(line: number): number {
    return this.#lines[line * WIDTH] as number
  }

  lineStart(line: number): number {
    return this.#lines[line * WIDTH + 1] as number
  }

  lineEnd(line: number): number {
    return this.#lines[(line + 1) * WIDTH + 1] ?? this.headersEnd
  }

  valueStart(line: number): number {
    return this.#lines[line * WIDTH + 2] as number
  }

  valueEnd(line: number): number {
    return this.#lines[line * WIDTH + 3] as number
  }

  /** The name of a line as it was written; '' if the line is malformed. */
  lineName(line: number): string {
    const start = this.lineStart(line)
    return this.text.slice(start, tokenEnd(this.text, start, this.valueStart(line)))
  }

  /** The whole value of a line, unfolded. */
  lineValue(line: number): string {
    return unfold(this.text.slice(this.valueStart(line), this.valueEnd(line)))
  }

  /**
   * The first line of header `id` that has a value, or -1. The empty elements of a list are no values, here as in
   * {@link values}: some phones end their lists with a comma, and some begin them so.
   */
  firstLine(id: number): number {
    let line = this.find(id)
    if (!isListHeader(id)) return line
    while (line >= 0 && this.firstStart(line) === this.valueEnd(line)) line = this.find(id, line)
    return line
  }

  /** Where the first value of a line begins. */
  firstStart(line: number): number {
    const end = this.valueEnd(line)
    let at = this.valueStart(line)
    if (!isListHeader(this.lineId(line))) return at
    while (at < end && this.text.charCodeAt(at) === COMMA) at = skipLws(this.text, at + 1, end)
    return at
  }

  /** Where the first value of a line ends. */
  firstEnd(line: number): number {
    const end = this.valueEnd(line)
    if (!isListHeader(this.lineId(line))) return end
    const start = this.firstStart(line)
    return trimEnd(this.text, start, elementEnd(this.text, start, end))
  }

  /** The first value of header `id`, unfolded: of a list header the first element, of others the first line. */
  value(id: number): string | undefined {
    const line = this.firstLine(id)
    if (line < 0) return undefined
    return unfold(this.text.slice(this.firstStart(line), this.firstEnd(line)))
  }

  /** Every value of header `id` in order, the lines of a list header split at their commas; unfolded. */
  values(id: number): string[] {
    const values: string[] = []
    for (let line = this.find(id); line >= 0; line = this.find(id, line)) {
      const value = this.lineValue(line)
      if (isListHeader(id)) values.push(...splitList(value))
      else values.push(value)
    }
    return values
  }

  /** The first line's value of any header, by its name in any case. */
  valueOf(name: string): string | undefined {
    const id = headerId(name, 0, name.length)
    const wanted = name.toLowerCase()
    if (wanted === '') return undefined
    for (let line = this.find(id); line >= 0; line = this.find(id, line)) {
      if (id !== H.other || this.lineName(line).toLowerCase() === wanted) return this.lineValue(line)
    }
    return undefined
  }

  get callId(): string {
    return this.value(H.callId) ?? ''
  }

  get topVia(): Via | undefined {
    if (this.#topVia === null) this.#topVia = this.#parsed(H.via, parseVia)
    return this.#topVia
  }

  get from(): NameAddr | undefined {
    if (this.#from === null) this.#from = this.#parsed(H.from, parseNameAddr)
    return this.#from
  }

  get to(): NameAddr | undefined {
    if (this.#to === null) this.#to = this.#parsed(H.to, parseNameAddr)
    return this.#to
  }

  get fromTag(): string | undefined {
    return this.from?.tag
  }

  get toTag(): string | undefined {
    return this.to?.tag
  }

  get cseq(): CSeq | undefined {
    if (this.#cseq === null) this.#cseq = this.#parsed(H.cseq, parseCSeq)
    return this.#cseq
  }

  /** 0…255; `undefined` if missing, malformed or out of range, which all mean the default (RFC 4475 §3.1.2.4). */
  get maxForwards(): number | undefined {
    const line = this.find(H.maxForwards)
    if (line < 0) return undefined
    const hops = readNumber(this.text, this.valueStart(line), this.valueEnd(line), 255)
    return hops < 0 ? undefined : hops
  }

  /** Parses the first value of a header where it lies: a slice of it would cost more than parsing it. */
  #parsed<T>(id: number, parse: (text: string, start: number, end: number) => T | undefined): T | undefined {
    const line = this.firstLine(id)
    if (line < 0) return undefined
    const start = this.firstStart(line)
    const end = this.valueEnd(line)
    const newline = this.text.indexOf('\n', start)
    if (newline < 0 || newline >= end) return parse(this.text, start, end)
    const unfolded = this.value(id) ?? ''
    return parse(unfolded, 0, unfolded.length)
  }
}

/**
 * Reads one message: a datagram, or what a stream's framing has cut out.
 * @returns `undefined` when the text does not begin with a SIP start line: there is nobody to answer.
 */
export function parseMessage(text: string): Message | undefined {
  // RFC 3261 §7.5: empty lines before the start line are no part of the message.
  let begin = 0
  while (text.charCodeAt(begin) === CR || text.charCodeAt(begin) === LF) begin++
  const message = begin === 0 ? text : text.slice(begin)
  const start = parseStartLine(message)
  return start && new Message(message, start)
}

interface StartLine {
  readonly method: string
  readonly uri: string
  readonly version: string
  /** `undefined` for a request. */
  readonly status: number | undefined
  readonly loose: boolean
  /** Where the next line begins. */
  readonly end: number
}

function parseStartLine(text: string): StartLine | undefined {
  const newline = text.indexOf('\n')
  const end = newline < 0 ? text.length : newline + 1
  const last = trimEnd(text, 0, end)
  return isVersion(text, 0) ? parseStatusLine(text, last, end) : parseRequestLine(text, last, end)
}

function parseStatusLine(text: string, last: number, end: number): StartLine | undefined {
  if (text.charCodeAt(VERSION.length) !== SP) return undefined
  const from = VERSION.length + 1
  const space = text.indexOf(' ', from)
  const code = readNumber(text, from, space < 0 || space > last ? last : space, 699)
  const status = code >= 100 ? code : 0
  return { method: '', uri: '', version: text.slice(0, VERSION.length), status, loose: false, end }
}

/** Method, Request-URI and version; liberal about the blanks between them, and leaves a blank in the URI to be refused. */
function parseRequestLine(text: string, last: number, end: number): StartLine | undefined {
  const methodEnd = text.indexOf(' ')
  const versionStart = text.lastIndexOf(' ', last - 1) + 1
  if (methodEnd < 1 || versionStart <= methodEnd || tokenEnd(text, 0, methodEnd) < methodEnd) return undefined
  if (!startsWithSipSlash(text, versionStart)) return undefined
  const uriStart = skipLws(text, methodEnd, versionStart)
  const uriEnd = trimEnd(text, uriStart, versionStart)
  const isSpaced = uriStart !== methodEnd + 1 || uriEnd !== versionStart - 1
  const behind = text.charCodeAt(last)
  const loose = isSpaced || behind === SP || behind === HTAB || last + 2 < end
  return {
    method: knownMethod(text, methodEnd),
    uri: text.slice(uriStart, uriEnd),
    version: isUsualVersion(text, versionStart, last) ? VERSION : text.slice(versionStart, last),
    status: undefined,
    loose,
    end,
  }
}

// A constant instead of a slice: comparisons with it are then by pointer, and nothing keeps the text alive.
const METHODS = [
  ...['INVITE', 'ACK', 'BYE', 'CANCEL', 'REGISTER', 'OPTIONS', 'MESSAGE', 'SUBSCRIBE', 'NOTIFY', 'PRACK'],
  ...['UPDATE', 'INFO', 'REFER', 'PUBLISH'],
]

function knownMethod(text: string, length: number): string {
  for (const method of METHODS) if (method.length === length && text.startsWith(method)) return method
  return text.slice(0, length)
}

/** A constant in place of a slice, as for the methods. */
const isUsualVersion = (text: string, start: number, end: number) =>
  end - start === VERSION.length && text.startsWith(VERSION, start)

const isVersion = (text: string, at: number) => startsWithSipSlash(text, at) && text.startsWith('2.0', at + 4)

/** The version's name is case-insensitive (RFC 3261 §7.1). */
const startsWithSipSlash = (text: string, at: number) =>
  (text.charCodeAt(at) | 0x20) === 0x73 &&
  (text.charCodeAt(at + 1) | 0x20) === 0x69 &&
  (text.charCodeAt(at + 2) | 0x20) === 0x70 &&
  text.charCodeAt(at + 3) === 0x2f

/** Where the line after the one at `at` begins; a line that begins with white space continues the one before. */
function nextLine(text: string, at: number): number {
  let from = at
  for (;;) {
    const newline = text.indexOf('\n', from)
    if (newline < 0) return text.length
    from = newline + 1
    const code = text.charCodeAt(from)
    if (code !== SP && code !== HTAB) return from
  }
}

/** A fold counts as one space (RFC 3261 §7.3.1). By hand: a regular expression is quadratic in a long run of blanks. */
function unfold(value: string): string {
  let newline = value.indexOf('\n')
  if (newline < 0) return value
  let unfolded = ''
  let from = 0
  for (; newline >= 0; newline = value.indexOf('\n', from)) {
    unfolded += `${value.slice(from, trimEnd(value, from, newline))} `
    from = skipLws(value, newline, value.length)
  }
  return unfolded + value.slice(from)
}

/** Where the token (RFC 3261 §25.1) that begins at `start` ends; `start` itself if none does. */
function tokenEnd(text: string, start: number, end: number): number {
  let i = start
  while (i < end && (classAt(text, i) & TOKEN) !== 0) i++
  return i
}

/** Two Content-Lengths that differ frame nothing (RFC 4475 §3.3.9). */
function mergeLength(before: number | undefined, text: string, start: number, end: number): number {
  const number = readNumber(text, start, end, Number.MAX_SAFE_INTEGER)
  const length = number < 0 ? Number.NaN : number
  return before === undefined || before === length ? length : Number.NaN
}

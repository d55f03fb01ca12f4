import { CR, LF, numberAt, readNumber, trimEnd } from './chars.ts'
import { type CSeq, parseCSeq, usualCSeq } from './cseq.ts'
import { H, headerName } from './header.ts'
import { HeaderLines } from './header-lines.ts'
import { type NameAddr, parseNameAddr, usualNameAddr } from './name-addr.ts'
import { parseStartLine, type StartLine } from './start-line.ts'
import { parseUri, type Uri, usualUri } from './uri.ts'
import { parseVia, usualVia, type Via } from './via.ts'

/**
 * One SIP message as it was received: text, and where its headers lie. It never changes; what is sent on is a
 * {@link Rewrite} of it. Text is latin1, one character a byte, so bodies and UTF-8 pass unharmed.
 *
 * Typed headers are parsed when they are first asked for, and are `undefined` where missing or malformed. Nothing here
 * throws on any input.
 *
 * Its strings are slices that keep the whole text alive: `detach` what is stored for longer than the message.
 */
export class Message extends HeaderLines {
  readonly #start: StartLine
  #uri: Uri | undefined | null = null
  #topVia: Via | undefined | null = null
  #secondVia: Via | undefined | null = null
  #from: NameAddr | undefined | null = null
  #to: NameAddr | undefined | null = null
  #cseq: CSeq | undefined | null = null

  constructor(text: string, start: StartLine) {
    super(text, start.end)
    this.#start = start
  }

  get isRequest(): boolean {
    return this.#start.isRequest
  }

  /** Of the request line; '' for a response (see {@link cseq}). */
  get requestMethod(): string {
    return this.#start.method
  }

  /** As written; '' for a response. */
  get requestUri(): string {
    return this.#start.uri
  }

  /** Whether the Request-URI is a sip URI that nothing is wrong with, as far as that is known without parsing it. */
  get hasGoodUri(): boolean {
    return this.#start.isGoodUri
  }

  /** 100…699; 0 for a request, and for a response whose status is no such number. */
  get status(): number {
    return this.#start.status
  }

  /** The version as written, `SIP/2.0` in any case if it is ours. */
  get version(): string {
    return this.#start.version
  }

  /** The start line is spaced more widely than the grammar allows (RFC 4475 §3.1.2.9): to be respelled when sent on. */
  get looseStartLine(): boolean {
    return this.#start.isLoose
  }

  /** The request's method, or the method a response answers (its CSeq's; '' if that is malformed). */
  get method(): string {
    return this.isRequest ? this.requestMethod : (this.cseq?.method ?? '')
  }

  /** The Request-URI, parsed when first asked for; `undefined` when malformed. */
  get uri(): Uri | undefined {
    if (this.#uri === null) {
      const { uri, isGoodUri } = this.#start
      this.#uri = isGoodUri ? usualUri(uri, 0, uri.length) : parseUri(uri)
    }
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

  get callId(): string {
    return this.value(H.callId) ?? ''
  }

  get topVia(): Via | undefined {
    if (this.#topVia === null)
      this.#topVia = this.isGood(H.via) ? this.#good(H.via, usualVia) : this.#parsed(H.via, parseVia)
    return this.#topVia
  }

  /** The Via below the top one: in a response, that of who is to have it next. */
  get secondVia(): Via | undefined {
    if (this.#secondVia === null)
      this.#secondVia = this.isGood(H.via) ? this.#secondGoodVia() : this.#scanSecondVia()
    return this.#secondVia
  }

  get from(): NameAddr | undefined {
    if (this.#from === null)
      this.#from = this.isGood(H.from)
        ? this.#good(H.from, usualNameAddr)
        : this.#parsed(H.from, parseNameAddr)
    return this.#from
  }

  get to(): NameAddr | undefined {
    if (this.#to === null)
      this.#to = this.isGood(H.to) ? this.#good(H.to, usualNameAddr) : this.#parsed(H.to, parseNameAddr)
    return this.#to
  }

  get fromTag(): string | undefined {
    return this.from?.tag
  }

  get toTag(): string | undefined {
    return this.to?.tag
  }

  get cseq(): CSeq | undefined {
    if (this.#cseq === null)
      this.#cseq = this.isGood(H.cseq) ? this.#good(H.cseq, usualCSeq) : this.#parsed(H.cseq, parseCSeq)
    return this.#cseq
  }

  /** 0…255; `undefined` if missing, malformed or out of range, which all mean the default (RFC 4475 §3.1.2.4). */
  get maxForwards(): number | undefined {
    if (this.isGood(H.maxForwards)) return this.#good(H.maxForwards, numberAt)
    const line = this.find(H.maxForwards)
    if (line < 0) return undefined
    const hops = readNumber(this.text, this.valueStart(line), this.valueEnd(line), 255)
    return hops < 0 ? undefined : hops
  }

  #secondGoodVia(): Via | undefined {
    const line = this.find(H.via, this.find(H.via))
    return line < 0 ? undefined : usualVia(this.text, this.valueStart(line), this.valueEnd(line))
  }

  #scanSecondVia(): Via | undefined {
    const value = this.values(H.via)[1]
    return value === undefined ? undefined : parseVia(value)
  }

  /** Reads the first value of a header that is known to be good. */
  #good<T>(id: number, read: Reader<T>): T {
    const line = this.find(id)
    return read(this.text, this.lineStart(line) + headerName(id).length + 2, this.lineEnd(line) - 2)
  }

  /** Parses the first value of a header where it lies: a slice of it would cost more than parsing it. */
  #parsed<T>(id: number, parse: Reader<T | undefined>): T | undefined {
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

type Reader<T> = (text: string, start: number, end: number) => T

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

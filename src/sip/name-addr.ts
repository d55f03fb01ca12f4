import {
  AT,
  COLON,
  COMMA,
  classAt,
  equalsIgnoreCase,
  GREATER,
  LESS,
  LWS,
  QUESTION,
  QUOTE,
  SEMI,
  skipLws,
  skipQuoted,
  TOKEN,
  trimEnd,
} from './chars.ts'
import { findParam, found, readParam, unquote } from './params.ts'
import { parseUri, type Uri } from './uri.ts'

/** A name-addr or addr-spec with its header parameters (RFC 3261 §20.10): From, To, Contact, Route and their kin. */
export class NameAddr {
  /** The URI's text, without `<>`, as received. */
  readonly uriText: string
  /** Whether the URI stood in `<>`. */
  readonly isBracketed: boolean
  readonly #text: string
  readonly #displayEnd: number
  readonly #paramsStart: number
  readonly #end: number
  readonly #tagStart: number
  readonly #tagEnd: number
  #uri: Uri | undefined | null = null

  constructor(text: string, end: number) {
    this.#text = text
    this.#end = end
    this.uriText = text.slice(part.uriStart, part.uriEnd)
    this.isBracketed = part.bracketed
    this.#displayEnd = part.displayEnd
    this.#paramsStart = part.paramsStart
    this.#tagStart = part.tagStart
    this.#tagEnd = part.tagEnd
  }

  /** Raw, with its quotes if it has any; '' when there is none. */
  get display(): string {
    return this.#text.slice(0, this.#displayEnd)
  }

  get displayDecoded(): string {
    return unquote(this.display)
  }

  /** The URI, parsed when first asked for; undefined when it is malformed. */
  get uri(): Uri | undefined {
    if (this.#uri === null) this.#uri = parseUri(this.uriText)
    return this.#uri
  }

  /** The header parameters from the first `;`, as received; '' when there are none. */
  get params(): string {
    return this.#text.slice(this.#paramsStart, this.#end)
  }

  /** The value of the header parameter `name` (in lower case): '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    return findParam(this.#text, name, this.#paramsStart, this.#end)
  }

  /** undefined when there is none, or it is empty. */
  get tag(): string | undefined {
    return this.#tagEnd > this.#tagStart ? this.#text.slice(this.#tagStart, this.#tagEnd) : undefined
  }
}

/** The scanner's findings for the constructor: saves passing eight numbers or an object. */
const part = {
  displayEnd: 0,
  uriStart: 0,
  uriEnd: 0,
  bracketed: false,
  paramsStart: 0,
  tagStart: 0,
  tagEnd: 0,
}

/**
 * Parses one value, all of `text`. undefined when it is malformed: quotes or `<>` unbalanced, commas outside them,
 * an addr-spec with `?`, bad parameters. Whether the URI itself is good, `uri` tells.
 */
export function parseNameAddr(text: string): NameAddr | undefined {
  const start = skipLws(text, 0, text.length)
  const end = trimEnd(text, start, text.length)
  const isName = scanDisplay(text, start, end)
  if (isName === undefined) return undefined
  const uriEnd = isName ? scanBracketed(text, end) : scanAddrSpec(text, start, end)
  if (uriEnd < 0 || part.uriEnd === part.uriStart) return undefined
  part.paramsStart = skipLws(text, uriEnd, end)
  return scanParams(text, end) ? new NameAddr(text, end) : undefined
}

/** Whether a `<` follows, and where; false for an addr-spec; undefined for neither. */
function scanDisplay(text: string, start: number, end: number): boolean | undefined {
  part.displayEnd = 0
  let i = start
  if (i < end && text.charCodeAt(i) === QUOTE) {
    const close = skipQuoted(text, i, end)
    if (close < 0) return undefined
    part.displayEnd = close
    i = skipLws(text, close, end)
    if (i === end || text.charCodeAt(i) !== LESS) return undefined
  }
  for (; i < end; i++) {
    const c = text.charCodeAt(i)
    if (c === LESS) {
      part.uriStart = i + 1
      if (part.displayEnd === 0) part.displayEnd = trimEnd(text, start, i)
      return true
    }
    // The colon of a scheme comes before anything that ends an addr-spec.
    if (c === COLON) return false
    if ((classAt(text, i) & (TOKEN | LWS)) === 0 && !isDisplayLenient(c)) return undefined
  }
  return false
}

/** Unquoted display names hold tokens only; phones also send raw UTF-8 and `100@pbx`, which cannot be mistaken. */
function isDisplayLenient(c: number): boolean {
  return c >= 0x80 || c === AT || c === 0x28 || c === 0x29 || c === 0x26 || c === 0x2f || c === 0x23
}

function scanBracketed(text: string, end: number): number {
  const close = text.indexOf('>', part.uriStart)
  part.uriEnd = close
  part.bracketed = true
  return close < 0 || close >= end ? -1 : close + 1
}

/** §20.10: outside `<>`, a `;` begins header parameters, and a URI with `?` or `,` is not allowed. */
function scanAddrSpec(text: string, start: number, end: number): number {
  let i = start
  for (; i < end; i++) {
    const c = text.charCodeAt(i)
    if (c === SEMI || (classAt(text, i) & LWS) !== 0) break
    if (c === QUESTION || c === COMMA || c === LESS || c === GREATER || c === QUOTE) return -1
  }
  part.displayEnd = 0
  part.uriStart = start
  part.uriEnd = i
  part.bracketed = false
  return i
}

function scanParams(text: string, end: number): boolean {
  part.tagStart = part.tagEnd = 0
  let i = part.paramsStart
  while (i < end) {
    if (text.charCodeAt(i) !== SEMI) return false
    i = readParam(text, i + 1, end)
    if (i < 0) return false
    if (
      found.valueStart >= 0 &&
      part.tagEnd === 0 &&
      equalsIgnoreCase(text, found.nameStart, found.nameEnd, 'tag')
    ) {
      part.tagStart = found.valueStart
      part.tagEnd = found.valueEnd
    }
  }
  return true
}

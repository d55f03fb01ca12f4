import {
  AT,
  COLON,
  COMMA,
  EQUALS,
  GREATER,
  LESS,
  LWS,
  QUESTION,
  QUOTE,
  SEMI,
  SP,
  TOKEN,
  within,
} from './chars.ts'
import { findParam, found, readParam, unquote } from './params.ts'
import { NAME_ADDR } from './patterns.ts'
import { byteAt, equalsIgnoreCase, indexOf, isOf, load, skip, skipLws, skipQuoted, trimEnd } from './scan.ts'
import { parseUri, type Uri, usualUri } from './uri.ts'

/** A name-addr or addr-spec with its header parameters (RFC 3261 §20.10): From, To, Contact, Route and their kin. */
export class NameAddr {
  /** Whether the URI stood in `<>`. */
  readonly isBracketed: boolean
  /** Positions are the source's, of which the value is a range. */
  readonly #source: string
  readonly #start: number
  readonly #displayEnd: number
  readonly #uriStart: number
  readonly #uriEnd: number
  readonly #paramsStart: number
  readonly #end: number
  readonly #tagStart: number
  readonly #tagEnd: number
  readonly #isUsual: boolean
  #uri: Uri | undefined | null = null

  constructor(source: string, start: number, end: number, isUsual: boolean) {
    this.isBracketed = part.isBracketed
    this.#source = source
    this.#start = start
    this.#displayEnd = part.displayEnd
    this.#uriStart = part.uriStart
    this.#uriEnd = part.uriEnd
    this.#paramsStart = part.paramsStart
    this.#end = end
    this.#tagStart = part.tagStart
    this.#tagEnd = part.tagEnd
    this.#isUsual = isUsual
  }

  /** Raw, with its quotes if it has any; '' when there is none. */
  get display(): string {
    return this.#source.slice(this.#start, this.#displayEnd)
  }

  get displayDecoded(): string {
    return unquote(this.display)
  }

  /** Without the `<>`, as received. */
  get uriText(): string {
    return this.#source.slice(this.#uriStart, this.#uriEnd)
  }

  /** undefined when the URI is malformed. */
  get uri(): Uri | undefined {
    if (this.#uri === null) {
      const parse = this.#isUsual ? usualUri : parseUri
      this.#uri = parse(this.#source, this.#uriStart, this.#uriEnd)
    }
    return this.#uri
  }

  /** The header parameters from the first `;`, as received; '' when there are none. */
  get params(): string {
    return this.#source.slice(this.#paramsStart, this.#end)
  }

  /** The value of the header parameter `name` (in lower case): '' without `=`, undefined when it is not there. */
  param(name: string): string | undefined {
    return findParam(this.#source, name, this.#paramsStart, this.#end)
  }

  /** undefined when there is none, or it is empty. */
  get tag(): string | undefined {
    return this.#tagEnd > this.#tagStart ? this.#source.slice(this.#tagStart, this.#tagEnd) : undefined
  }
}

/** The scanner's findings for the constructor: saves passing eight numbers or an object. */
const part = {
  displayEnd: 0,
  uriStart: 0,
  uriEnd: 0,
  isBracketed: false,
  paramsStart: 0,
  tagStart: 0,
  tagEnd: 0,
}

const USUAL = new RegExp(NAME_ADDR, 'y')

function isUsual(text: string, start: number, end: number): boolean {
  USUAL.lastIndex = start
  return USUAL.test(text) && USUAL.lastIndex === end
}

/**
 * Parses the one value that is all of the range. undefined when it is malformed: quotes or `<>` unbalanced, commas
 * outside them, an addr-spec with `?`, bad parameters. Whether the URI itself is good, `uri` tells.
 */
export function parseNameAddr(text: string, start = 0, end = text.length): NameAddr | undefined {
  return isUsual(text, start, end) ? usualNameAddr(text, start, end) : scanNameAddr(text, start, end)
}

/** Whether `text[start, end)` is a name-addr or addr-spec with a good URI: {@link parseNameAddr} without its result. */
export function isNameAddr(text: string, start: number, end: number): boolean {
  return isUsual(text, start, end) || scanNameAddr(text, start, end)?.uri !== undefined
}

/** What the pattern has recognised. */
export function usualNameAddr(text: string, start: number, end: number): NameAddr {
  // A quoted name may hold a `<`.
  const nameEnd = text.charCodeAt(start) === QUOTE ? text.indexOf('"', start + 1) : start
  const open = text.indexOf('<', nameEnd)
  part.uriStart = open + 1
  part.uriEnd = text.indexOf('>', open)
  part.displayEnd = open > start && text.charCodeAt(open - 1) === SP ? open - 1 : open
  part.isBracketed = true
  part.paramsStart = part.uriEnd + 1
  part.tagStart = part.tagEnd = 0
  if (text.startsWith('tag', part.paramsStart + 1) && text.charCodeAt(part.paramsStart + 4) === EQUALS) {
    part.tagStart = part.paramsStart + ';tag='.length
    part.tagEnd = within(text.indexOf(';', part.tagStart), end)
  }
  return new NameAddr(text, start, end, true)
}

/** The whole grammar, for what is spelt less usually. */
export function scanNameAddr(text: string, start = 0, end = text.length): NameAddr | undefined {
  if (!load(text)) return undefined
  const first = skipLws(start, end)
  const last = trimEnd(first, end)
  const open = findOpening(first, last)
  if (open === MALFORMED) return undefined
  const uriEnd = open === NONE ? scanAddrSpec(first, last) : scanBracketed(open, last)
  if (uriEnd < 0 || part.uriEnd === part.uriStart) return undefined
  part.displayEnd = open === NONE ? first : trimEnd(first, open)
  part.paramsStart = skipLws(uriEnd, last)
  return scanParams(last) ? new NameAddr(text, first, last, false) : undefined
}

const NONE = -1
const MALFORMED = -2

/** Where the `<` is; NONE for an addr-spec. */
function findOpening(start: number, end: number): number {
  if (start < end && byteAt(start) === QUOTE) {
    const close = skipQuoted(start, end)
    const open = close < 0 ? end : skipLws(close, end)
    return open < end && byteAt(open) === LESS ? open : MALFORMED
  }
  for (let i = skip(TOKEN | LWS, start, end); i < end; i = skip(TOKEN | LWS, i + 1, end)) {
    const c = byteAt(i)
    if (c === LESS) return i
    // The colon of a scheme comes before anything that ends an addr-spec.
    if (c === COLON) return NONE
    if (!isDisplayLenient(c)) return MALFORMED
  }
  return NONE
}

/** Unquoted display names hold tokens only; phones also send raw UTF-8 and `100@pbx`, which cannot be mistaken. */
function isDisplayLenient(c: number): boolean {
  return c >= 0x80 || c === AT || c === 0x28 || c === 0x29 || c === 0x26 || c === 0x2f || c === 0x23
}

function scanBracketed(open: number, end: number): number {
  part.uriStart = open + 1
  part.uriEnd = indexOf(GREATER, open + 1, end)
  part.isBracketed = true
  return part.uriEnd < 0 ? -1 : part.uriEnd + 1
}

/** §20.10: outside `<>`, a `;` begins header parameters, and a URI with `?` or `,` is not allowed. */
function scanAddrSpec(start: number, end: number): number {
  let i = start
  for (; i < end; i++) {
    const c = byteAt(i)
    if (c === SEMI || isOf(LWS, i)) break
    if (c === QUESTION || c === COMMA || c === LESS || c === GREATER || c === QUOTE) return -1
  }
  part.uriStart = start
  part.uriEnd = i
  part.isBracketed = false
  return i
}

function scanParams(end: number): boolean {
  part.tagStart = part.tagEnd = 0
  let i = part.paramsStart
  while (i < end) {
    if (byteAt(i) !== SEMI) return false
    i = readParam(i + 1, end)
    if (i < 0) return false
    if (
      found.valueStart >= 0 &&
      part.tagEnd === 0 &&
      equalsIgnoreCase(found.nameStart, found.nameEnd, 'tag')
    ) {
      part.tagStart = found.valueStart
      part.tagEnd = found.valueEnd
    }
  }
  return true
}

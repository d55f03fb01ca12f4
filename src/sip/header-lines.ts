import { COLON, COMMA, CR, HTAB, LF, numberAt, readNumber, SP, skipLws, tokenEnd, trimEnd } from './chars.ts'
import { H, headerId, headerName, isListHeader } from './header.ts'
import { elementEnd, splitList } from './params.ts'
import { judgedIds, usualHeaderId, usualRunEnd } from './usual-lines.ts'

const CONTENT_LENGTH = `${headerName(H.contentLength)}: `
const USUAL = 64
const ID = 63

/** A header id as a bit, so that one number tells which headers a message has; 0 for ids that have no bit. */
export const headerBit = (id: number): number => (id < 31 ? 1 << id : 0)

/** These ids as bits. */
export const headerBits = (...ids: readonly number[]): number =>
  ids.reduce((bits, id) => bits | headerBit(id), 0)

const JUDGED = headerBits(...judgedIds)

/**
 * Where the header lines of a message lie, numbered from 0 in their order; `-1` means there is none. Nothing here
 * throws on any input.
 */
export class HeaderLines {
  /** From the start line to the end of the body; what came before or after is no part of the message. */
  readonly text: string
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
  /** The headers that are there, as bits. */
  readonly present: number
  /** The headers that have more than one line. */
  readonly repeated: number
  /** The headers whose values are known to be good, and one on each line: all of their lines are usual ones. */
  readonly good: number
  // A line is two numbers: where it starts, and its id, to which USUAL is added if it is a usual line. Where its value lies
  // is found when it is asked for, which for most lines nobody does.
  readonly #starts: readonly number[]
  readonly #kinds: readonly number[]

  /** Finds the lines of `text` from `start` on, which is behind the start line. */
  constructor(text: string, start: number) {
    const starts: number[] = []
    const kinds: number[] = []
    let present = 0
    let repeated = 0
    let unusual = 0
    let contentLength: number | undefined
    let malformed = false
    let terminated = false
    let at = start
    let bodyStart = text.length

    let runEnd = usualRunEnd(text, start)
    while (at < text.length) {
      let id: number
      let next: number
      if (at < runEnd) {
        id = usualHeaderId(text, at)
        next = text.indexOf('\n', at) + 1
        kinds.push(id | USUAL)
      } else {
        const first = text.charCodeAt(at)
        if (first === LF || (first === CR && text.charCodeAt(at + 1) === LF)) {
          terminated = true
          bodyStart = at + (first === LF ? 1 : 2)
          break
        }
        next = nextLine(text, at)
        const colon = colonOf(text, at, next)
        if (colon < 0) malformed = true
        id = colon < 0 ? H.other : headerId(text, at, trimEnd(text, at, colon))
        unusual |= headerBit(id)
        kinds.push(id)
      }
      starts.push(at)
      repeated |= present & headerBit(id)
      present |= headerBit(id)
      if (id === H.contentLength) {
        const start = at + CONTENT_LENGTH.length
        const length = at < runEnd ? numberAt(text, start, next - 2) : lengthAt(text, at, next)
        contentLength = mergeLength(contentLength, length)
      }
      // A line that is none of a run ends it, and the next one may begin another.
      if (at >= runEnd) runEnd = usualRunEnd(text, next)
      at = next
    }

    this.headersStart = start
    this.headersEnd = at
    this.bodyStart = bodyStart
    this.terminated = terminated
    this.hasMalformedLine = malformed
    this.contentLength = contentLength
    this.present = present
    this.repeated = repeated
    this.good = present & ~unusual & JUDGED
    this.#starts = starts
    this.#kinds = kinds
    // RFC 3261 §18.3: octets after the body are discarded.
    const end = bodyStart + (contentLength ?? Number.POSITIVE_INFINITY)
    this.text = end < text.length ? text.slice(0, end) : text
  }

  /** How many header lines there are. */
  get lineCount(): number {
    return this.#starts.length
  }

  /** The first line of header `id`, or the one that follows line `after` of it. */
  find(id: number, after = -1): number {
    if (id < 31 && ((after < 0 ? this.present : this.repeated) & (1 << id)) === 0) return -1
    const kinds = this.#kinds
    for (let line = after + 1; line < kinds.length; line++)
      if (((kinds[line] as number) & ID) === id) return line
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

  /** Whether the values of a header are known to be good: see {@link good}. */
  isGood(id: number): boolean {
    return (this.good & headerBit(id)) !== 0
  }

  lineId(line: number): number {
    return (this.#kinds[line] as number) & ID
  }

  lineStart(line: number): number {
    return this.#starts[line] as number
  }

  lineEnd(line: number): number {
    return line + 1 < this.#starts.length ? this.lineStart(line + 1) : this.headersEnd
  }

  valueStart(line: number): number {
    const start = this.lineStart(line)
    if (this.#isUsual(line)) return this.text.indexOf(':', start) + 2
    const colon = colonOf(this.text, start, this.lineEnd(line))
    // In this order an empty value lies behind its colon, not behind its line.
    return colon < 0 ? start : skipLws(this.text, colon + 1, this.valueEnd(line))
  }

  valueEnd(line: number): number {
    const end = this.lineEnd(line)
    if (this.#isUsual(line)) return end - 2
    const start = this.lineStart(line)
    const colon = colonOf(this.text, start, end)
    return colon < 0 ? start : trimEnd(this.text, colon + 1, end)
  }

  /** Whether the line is written as `Name: value`, CRLF, and not folded. */
  #isUsual(line: number): boolean {
    return ((this.#kinds[line] as number) & USUAL) !== 0
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
    if (this.holdsOne(id)) return line
    while (line >= 0 && this.firstStart(line) === this.valueEnd(line)) line = this.find(id, line)
    return line
  }

  /** Where the first value of a line begins. */
  firstStart(line: number): number {
    const end = this.valueEnd(line)
    let at = this.valueStart(line)
    if (this.holdsOne(this.lineId(line))) return at
    while (at < end && this.text.charCodeAt(at) === COMMA) at = skipLws(this.text, at + 1, end)
    return at
  }

  /** Where the first value of a line ends. */
  firstEnd(line: number): number {
    const end = this.valueEnd(line)
    if (this.holdsOne(this.lineId(line))) return end
    const start = this.firstStart(line)
    return trimEnd(this.text, start, elementEnd(this.text, start, end))
  }

  /** Whether each line of the header has one value, which is all of the line. */
  holdsOne(id: number): boolean {
    return !isListHeader(id) || this.isGood(id)
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
}

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

/** The colon behind the name of the line in the range, -1 if there is none or the name is no token. */
function colonOf(text: string, start: number, end: number): number {
  const nameEnd = tokenEnd(text, start, end)
  const colon = skipLws(text, nameEnd, end)
  return nameEnd > start && colon < end && text.charCodeAt(colon) === COLON ? colon : -1
}

/** The value of a Content-Length line; NaN if it is malformed. */
function lengthAt(text: string, start: number, end: number): number {
  const valueEnd = trimEnd(text, start, end)
  const valueStart = skipLws(text, text.indexOf(':', start) + 1, valueEnd)
  const length = readNumber(text, valueStart, valueEnd, Number.MAX_SAFE_INTEGER)
  return length < 0 ? Number.NaN : length
}

/** Two Content-Lengths that differ frame nothing (RFC 4475 §3.3.9). */
function mergeLength(before: number | undefined, length: number): number {
  return before === undefined || before === length ? length : Number.NaN
}

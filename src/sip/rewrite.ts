import { COMMA, skipLws } from './chars.ts'
import { H, headerLine } from './header.ts'
import type { Message } from './message.ts'
import { elementEnd } from './params.ts'

/** What stands in the place of a range of the text; a range may be empty. */
interface Edit {
  readonly start: number
  readonly end: number
  text: string
  next: Edit | undefined
}

/**
 * An outgoing copy of a received message, as a list of edits that are applied when it becomes text. Whatever is
 * not edited leaves as it came, byte for byte and in its order. One message may have many rewrites (forks).
 *
 * Edits speak of the message as received, never of each other: drop several values with one call. Of two that
 * replace the same text the later one holds, and what lies inside a removed line goes with it.
 */
export class Rewrite {
  readonly message: Message
  /** In the order of the text. */
  #first: Edit | undefined

  constructor(message: Message) {
    this.message = message
  }

  /** Replaces the Request-URI, and with it respells the request line. */
  setRequestUri(uri: string): this {
    return this.#edit(0, this.message.headersStart, `${this.message.requestMethod} ${uri} SIP/2.0\r\n`)
  }

  /** One line in the place of all its lines, its name spelt as the first of them; at the end of the headers if there is none. */
  set(id: number, value: string): this {
    const { message } = this
    const first = message.find(id)
    if (first < 0) return this.append(id, value)
    const line = message.isGood(id) ? headerLine(id, value) : this.#respell(first, value)
    this.#edit(message.lineStart(first), message.lineEnd(first), line)
    for (let line = message.find(id, first); line >= 0; line = message.find(id, line)) this.#removeLine(line)
    return this
  }

  /** A new line above the first of its kind; if there is none, below the Vias. */
  prepend(id: number, value: string): this {
    const { message } = this
    const first = message.find(id)
    const at = first < 0 ? this.#belowVias() : message.lineStart(first)
    return this.#edit(at, at, headerLine(id, value))
  }

  /** A new line below the last of its kind; if there is none, at the end of the headers. */
  append(id: number, value: string): this {
    const { message } = this
    let at = message.headersEnd
    for (let line = message.find(id); line >= 0; line = message.find(id, line)) at = message.lineEnd(line)
    return this.#edit(at, at, headerLine(id, value))
  }

  /** Removes every line of a header. */
  remove(id: number): this {
    const { message } = this
    for (let line = message.find(id); line >= 0; line = message.find(id, line)) this.#removeLine(line)
    return this
  }

  /** Removes the first `count` values of a list header, wherever its lines break. */
  dropFirst(id: number, count = 1): this {
    const { message } = this
    const { text } = message
    let left = count
    for (let line = message.find(id); line >= 0 && left > 0; line = message.find(id, line)) {
      if (message.holdsOne(id)) {
        this.#removeLine(line)
        left--
        continue
      }
      const end = message.valueEnd(line)
      let from = message.firstStart(line)
      for (; left > 0 && from < end; left--) {
        // Behind the comma, and behind those of empty elements.
        do from = skipLws(text, elementEnd(text, from, end) + 1, end)
        while (from < end && text.charCodeAt(from) === COMMA)
      }
      if (from >= end) this.#removeLine(line)
      else this.#edit(message.valueStart(line), from, '')
    }
    return this
  }

  /** Puts `text` behind the first value of a header, as further parameters of it. */
  extendFirst(id: number, text: string): this {
    const line = this.message.firstLine(id)
    if (line < 0) return this
    const at = this.message.firstEnd(line)
    return this.#edit(at, at, text)
  }

  /** Replaces the first value of a header. */
  replaceFirst(id: number, value: string): this {
    const line = this.message.firstLine(id)
    return line < 0 ? this : this.#edit(this.message.firstStart(line), this.message.firstEnd(line), value)
  }

  /** Another body, as it is: a Content-Encoding, which spoke of the old one, goes. */
  setBody(body: string, contentType: string): this {
    this.set(H.contentLength, String(body.length)).set(H.contentType, contentType).remove(H.contentEncoding)
    return this.#edit(this.message.bodyStart, this.message.text.length, body)
  }

  toString(): string {
    const { text } = this.message
    let out = ''
    let from = 0
    let gapStart = 0
    for (let edit = this.#first; edit !== undefined; edit = edit.next) {
      if (edit.start > from) out += text.slice(from, edit.start)
      else if (edit.start < from && edit.start > gapStart) continue
      out += edit.text
      if (edit.end > from) {
        from = edit.end
        gapStart = edit.start
      }
    }
    return out + text.slice(from)
  }

  /** A line with another value, everything else as it is. */
  #respell(line: number, value: string): string {
    const { message } = this
    const before = message.text.slice(message.lineStart(line), message.valueStart(line))
    return before + value + message.text.slice(message.valueEnd(line), message.lineEnd(line))
  }

  #removeLine(line: number): void {
    this.#edit(this.message.lineStart(line), this.message.lineEnd(line), '')
  }

  #belowVias(): number {
    const { message } = this
    let at = message.headersStart
    for (let line = message.find(H.via); line >= 0; line = message.find(H.via, line))
      at = message.lineEnd(line)
    return at
  }

  /** Keeps the edits in the order of the text, and insertions at one place in the order of the calls. */
  #edit(start: number, end: number, text: string): this {
    let before: Edit | undefined
    let next = this.#first
    for (; next !== undefined && next.start <= start; before = next, next = next.next) {
      if (end > start && next.start === start && next.end === end) {
        next.text = text
        return this
      }
    }
    const edit = { start, end, text, next }
    if (before === undefined) this.#first = edit
    else before.next = edit
    return this
  }
}

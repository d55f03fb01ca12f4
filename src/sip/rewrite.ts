import { COMMA, skipLws } from './chars.ts'
import { H, headerName } from './header.ts'
import type { Message } from './message.ts'
import { elementEnd } from './params.ts'

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
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
  #edits: Edit[] = []

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
    const { text } = message
    const first = message.find(id)
    if (first < 0) return this.append(id, value)
    const [start, end] = [message.lineStart(first), message.lineEnd(first)]
    const line =
      text.slice(start, message.valueStart(first)) + value + text.slice(message.valueEnd(first), end)
    this.#edit(start, end, line)
    for (let line = message.find(id, first); line >= 0; line = message.find(id, line)) this.#removeLine(line)
    return this
  }

  /** A new line above the first of its kind; if there is none, below the Vias. */
  prepend(id: number, value: string): this {
    const { message } = this
    const first = message.find(id)
    const at = first < 0 ? this.#belowVias() : message.lineStart(first)
    return this.#edit(at, at, `${headerName(id)}: ${value}\r\n`)
  }

  /** A new line below the last of its kind; if there is none, at the end of the headers. */
  append(id: number, value: string): this {
    const { message } = this
    let at = message.headersEnd
    for (let line = message.find(id); line >= 0; line = message.find(id, line)) at = message.lineEnd(line)
    return this.#edit(at, at, `${headerName(id)}: ${value}\r\n`)
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
    for (const { start, end, text: insert } of this.#edits) {
      if (start > from) out += text.slice(from, start)
      else if (start < from && start > gapStart) continue
      out += insert
      if (end > from) {
        from = end
        gapStart = start
      }
    }
    return out + text.slice(from)
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
    const edits = this.#edits
    let i = edits.length
    while (i > 0 && (edits[i - 1] as Edit).start > start) i--
    if (end > start) {
      for (let same = i - 1; same >= 0 && edits[same]?.start === start; same--) {
        if (edits[same]?.end !== end) continue
        edits[same] = { start, end, text }
        return this
      }
    }
    // By hand: splice would allocate an array for what it removes, a tenth of the price of forwarding.
    edits.push({ start, end, text })
    for (let k = edits.length - 1; k > i; k--)
      [edits[k], edits[k - 1]] = [edits[k - 1] as Edit, edits[k] as Edit]
    return this
  }
}

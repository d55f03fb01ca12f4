import { CR, HTAB, LF, SP } from './chars.ts'
import { detach } from './detach.ts'
import { H, headerId } from './header.ts'
import { limits } from './limits.ts'

export type FramingDefect =
  | 'no-content-length'
  | 'bad-content-length'
  | 'headers-too-long'
  | 'body-too-long'
  | 'message-too-long'

/**
 * What a stream consists of. `ping` is to be answered with CRLF, `pong` answers ours (RFC 5626 §4.4.1). After a
 * `defect` the stream has no frames any more: `head` holds the start line and headers to answer, '' if they are
 * not complete, and then the connection is to be closed.
 */
export type Frame =
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'ping' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'defect'; readonly defect: FramingDefect; readonly head: string }

export interface FramingLimits {
  /** Start line and headers, with the empty line behind them. */
  readonly headBytes: number
  readonly bodyBytes: number
  readonly messageBytes: number
}

/** So many pieces are joined to one while more are awaited. */
const PIECES_JOINED = 256

const DEFAULT_LIMITS: FramingLimits = {
  headBytes: limits.messageBytes,
  bodyBytes: limits.messageBytes,
  messageBytes: limits.messageBytes,
}

/**
 * Cuts a stream into messages by Content-Length (RFC 3261 §18.3). The time is linear however small the chunks are:
 * every byte is looked at once, and pieces are joined twice at most. Limits are checked before
 * anything is kept, so a connection never holds more than one message.
 */
export class StreamFramer {
  readonly #limits: FramingLimits
  #phase: 'between' | 'head' | 'body' | 'lost' = 'between'
  /** The pieces of the message that is not complete yet, in their order, and their length. */
  #pieces: string[] = []
  #lastPieces: string[] = []
  #kept = 0
  /** In the body: how much of it is still to come. */
  #missing = 0
  /** In the head: how much of LF CR the last piece ends with. */
  #afterBreak = 0
  /** Between messages: how much of CR LF CR LF has come. */
  #pingChars = 0

  constructor(bounds: Partial<FramingLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...bounds }
  }

  /** Bytes kept of a message that is not complete. */
  get pendingBytes(): number {
    return this.#kept
  }

  /**
   * Takes what a socket has read (a string is latin1). Pings that come together are one frame, so that the answers
   * do not grow with the question. A CRLF may turn out to be the first half of a ping: then there was a `pong` before
   * the `ping`; and none is reported where a message follows at once, which shows as much.
   */
  push(chunk: Buffer | string): Frame[] {
    const text = typeof chunk === 'string' ? chunk : chunk.toString('latin1')
    const frames: Frame[] = []
    for (let at = 0; at < text.length; ) at = this.#step(text, at, frames)
    if (this.#pingChars === 2 && this.#phase === 'between') frames.push({ kind: 'pong' })
    return frames
  }

  #step(text: string, at: number, frames: Frame[]): number {
    switch (this.#phase) {
      case 'between':
        return this.#skipBreaks(text, at, frames)
      case 'head':
        return this.#readHead(text, at, frames)
      case 'body':
        return this.#readBody(text, at, frames)
      case 'lost':
        return text.length
    }
  }

  /** RFC 3261 §7.5: line breaks before a start line are ignored; RFC 5626 §3.5.1: two are a ping. */
  #skipBreaks(text: string, start: number, frames: Frame[]): number {
    for (let at = start; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code !== CR && code !== LF) {
        this.#phase = 'head'
        this.#pingChars = 0
        this.#afterBreak = 0
        return at
      }
      const isNext = code === (this.#pingChars % 2 === 0 ? CR : LF)
      this.#pingChars = isNext ? this.#pingChars + 1 : code === CR ? 1 : 0
      if (this.#pingChars === 4) {
        this.#pingChars = 0
        if (frames.at(-1)?.kind !== 'ping') frames.push({ kind: 'ping' })
      }
    }
    return text.length
  }

  #readHead(text: string, at: number, frames: Frame[]): number {
    const found = this.#findHeadEnd(text, at)
    const end = found < 0 ? text.length : found
    if (this.#kept + end - at > this.#limits.headBytes)
      return this.#lose('headers-too-long', '', text, frames)
    if (found < 0) {
      this.#keep(text, at, end)
      return end
    }
    const head = this.#kept === 0 ? text.slice(at, end) : this.#join(text.slice(at, end))
    const length = contentLengthOf(head)
    const defect = this.#defectOf(head, length)
    if (defect) return this.#lose(defect, head, text, frames)
    if (head.length === end - at && end + length <= text.length) {
      // All of it is in this chunk: a slice, without any copying.
      frames.push({ kind: 'message', text: text.slice(at, end + length) })
      this.#phase = 'between'
      return end + length
    }
    this.#keep(head, 0, head.length)
    this.#missing = length
    this.#phase = 'body'
    return length === 0 ? this.#readBody(text, end, frames) : end
  }

  #readBody(text: string, at: number, frames: Frame[]): number {
    const end = Math.min(at + this.#missing, text.length)
    this.#missing -= end - at
    if (this.#missing > 0) {
      this.#keep(text, at, end)
    } else {
      frames.push({ kind: 'message', text: this.#join(text.slice(at, end)) })
      this.#phase = 'between'
    }
    return end
  }

  /** The index behind the empty line that ends the head, or -1; it may have begun in an earlier chunk. */
  #findHeadEnd(text: string, start: number): number {
    let at = start
    let afterBreak = this.#afterBreak
    for (;;) {
      if (afterBreak === 0) {
        const lf = text.indexOf('\n', at)
        if (lf < 0) break
        at = lf + 1
        afterBreak = 1
      }
      if (afterBreak === 1 && text.charCodeAt(at) === CR) {
        at++
        afterBreak = 2
      }
      if (at >= text.length) break
      if (text.charCodeAt(at) === LF) return at + 1
      afterBreak = 0
    }
    this.#afterBreak = afterBreak
    return -1
  }

  #defectOf(head: string, length: number): FramingDefect | undefined {
    if (length < 0) return 'no-content-length'
    if (Number.isNaN(length)) return 'bad-content-length'
    if (length > this.#limits.bodyBytes) return 'body-too-long'
    return head.length + length > this.#limits.messageBytes ? 'message-too-long' : undefined
  }

  #lose(defect: FramingDefect, head: string, text: string, frames: Frame[]): number {
    this.#join('')
    this.#phase = 'lost'
    frames.push({ kind: 'defect', defect, head })
    return text.length
  }

  /**
   * A piece keeps nothing but itself alive, and many small ones become one: a message that comes in pieces of two bytes takes
   * 1.1 times its length, not 16 times. So `pendingBytes` is what a slow sender really costs.
   */
  #keep(text: string, start: number, end: number): void {
    const piece = text.slice(start, end)
    this.#lastPieces.push(piece.length === text.length ? piece : detach(piece))
    this.#kept += piece.length
    if (this.#lastPieces.length < PIECES_JOINED) return
    this.#pieces.push(this.#lastPieces.join(''))
    this.#lastPieces = []
  }

  #join(last: string): string {
    this.#lastPieces.push(last)
    const whole = this.#pieces.concat(this.#lastPieces).join('')
    this.#pieces = []
    this.#lastPieces = []
    this.#kept = 0
    return whole
  }
}

/** -1 without a Content-Length; NaN for a malformed one, and for several that differ (RFC 4475 §3.3.9). */
function contentLengthOf(head: string): number {
  let length = -1
  for (let next = head.indexOf('\n') + 1, at = next; at < head.length; at = next) {
    next = nextLine(head, at)
    const colon = colonOfContentLength(head, at, next)
    if (colon < 0) continue
    const value = readLength(head.slice(colon + 1, next))
    length = length === -1 || length === value ? value : Number.NaN
  }
  return length
}

/** The index of the colon if the line is a Content-Length, in any case or as `l`; else -1. */
function colonOfContentLength(head: string, start: number, end: number): number {
  const first = head.charCodeAt(start) | 0x20
  // 'c' and 'l': most lines need no closer look.
  if (first !== 0x63 && first !== 0x6c) return -1
  const colon = head.indexOf(':', start)
  if (colon < 0 || colon >= end) return -1
  let nameEnd = colon
  while (isBlank(head.charCodeAt(nameEnd - 1))) nameEnd--
  return headerId(head, start, nameEnd) === H.contentLength ? colon : -1
}

function readLength(value: string): number {
  const digits = /^[ \t\r\n]*([0-9]+)[ \t\r\n]*$/.exec(value)?.[1]
  const length = digits === undefined ? Number.NaN : Number(digits)
  return length <= Number.MAX_SAFE_INTEGER ? length : Number.NaN
}

/** Where the next line begins; a line that begins with white space continues the one before. */
function nextLine(head: string, at: number): number {
  for (let lf = head.indexOf('\n', at); lf >= 0; lf = head.indexOf('\n', lf + 1)) {
    const code = head.charCodeAt(lf + 1)
    if (code !== SP && code !== HTAB) return lf + 1
  }
  return head.length
}

const isBlank = (code: number) => code === SP || code === HTAB || code === CR || code === LF

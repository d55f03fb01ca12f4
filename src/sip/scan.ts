import { BACKSLASH, classes, hexValue, LWS, PERCENT, QUOTE, SP } from './chars.ts'

/**
 * Scanning of wire text, for what the patterns (`patterns.ts`) do not recognise. The text is copied once into an array
 * of bytes (55 ns for 500 bytes), and all scanners look at the bytes there and slice the text: a byte costs 0.9 ns,
 * `charCodeAt` 1.7 ns, and 2.9 ns in a slice. So every scanner takes the whole text and a range of it, and begins
 * with `load`.
 *
 * Nothing here survives a call: whoever calls something that may load another text has to `load` again.
 */

const CAPACITY = 1 << 17

/** The loaded text's characters, and one 0 behind the last. */
export const bytes = new Uint8Array(CAPACITY)

/** Node has the method, @types/node does not; `write(…, 'latin1')` takes 20 ns more. */
const buffer = Buffer.from(bytes.buffer) as Buffer & { latin1Write(text: string, offset: number): number }

let loaded = ''

/** Makes `bytes` hold `text`. False when it is longer than anything that is ever parsed. */
export function load(text: string): boolean {
  if (text === loaded) return true
  if (text.length >= CAPACITY) return false
  bytes[buffer.latin1Write(text, 0)] = 0
  loaded = text
  return true
}

export function byteAt(index: number): number {
  return bytes[index] as number
}

/** Whether the byte at `index` is of one of the classes in `bits`. */
export function isOf(bits: number, index: number): boolean {
  return ((classes[bytes[index] as number] as number) & bits) !== 0
}

/** The index of the first byte from `start` that is of none of the classes in `bits`, or `end`. */
export function skip(bits: number, start: number, end: number): number {
  let i = start
  while (i < end && ((classes[bytes[i] as number] as number) & bits) !== 0) i++
  return i
}

/** Where nothing is to be skipped, which is nearly always, the caller inlines the comparison and calls nothing. */
export function skipLws(start: number, end: number): number {
  return start < end && byteAt(start) <= SP ? skip(LWS, start, end) : start
}

/** The end of the range without its trailing white space. */
export function trimEnd(start: number, end: number): number {
  return end > start && byteAt(end - 1) <= SP ? trimLws(start, end) : end
}

function trimLws(start: number, end: number): number {
  let i = end
  while (i > start && isOf(LWS, i - 1)) i--
  return i
}

/** The index of `code` in the range, or -1. */
export function indexOf(code: number, start: number, end: number): number {
  for (let i = start; i < end; i++) if (bytes[i] === code) return i
  return -1
}

/** The index behind the closing quote of the quoted-string that opens at `start`, or -1. */
export function skipQuoted(start: number, end: number): number {
  for (let i = start + 1; i < end; i++) {
    const c = byteAt(i)
    if (c === QUOTE) return i + 1
    if (c === BACKSLASH) i++
  }
  return -1
}

/** Whether `%HH` stands at `index`. */
export function isEscape(index: number, end: number): boolean {
  return (
    index + 2 < end &&
    byteAt(index) === PERCENT &&
    hexValue(byteAt(index + 1)) >= 0 &&
    hexValue(byteAt(index + 2)) >= 0
  )
}

/** Whether the range is `lower`, which is in lower case, in any case. */
export function equalsIgnoreCase(start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const c = byteAt(start + i)
    const expected = lower.charCodeAt(i)
    if (c !== expected && (c < 0x41 || c > 0x5a || (c | 0x20) !== expected)) return false
  }
  return true
}

/** The number in the range; -1 when it is empty, not all digits, or above `max`. */
export function readNumber(start: number, end: number, max: number): number {
  if (start >= end) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = byteAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
    if (value > max) return -1
  }
  return value
}

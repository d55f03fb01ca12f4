/**
 * Character codes and classes of the SIP grammar (RFC 3261 §25.1). Wire text is latin1, so the classes of a character
 * are one byte in a table of 256; `scan.ts` reads it.
 */

export const HTAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SP = 0x20
export const QUOTE = 0x22
export const PERCENT = 0x25
export const PLUS = 0x2b
export const COMMA = 0x2c
export const DOT = 0x2e
export const SLASH = 0x2f
export const COLON = 0x3a
export const SEMI = 0x3b
export const LESS = 0x3c
export const EQUALS = 0x3d
export const GREATER = 0x3e
export const QUESTION = 0x3f
export const AT = 0x40
export const OPEN_BRACKET = 0x5b
export const BACKSLASH = 0x5c
export const CLOSE_BRACKET = 0x5d

/** token: method names, header names, parameter names. */
export const TOKEN = 1
/** SP, HTAB, CR, LF: a folded line's break counts as white space, so scanners need no unfolded copy. */
export const LWS = 2
/** What may stand in the user part, besides escapes: see `USER_LENIENT`. */
export const USER = 4
/** Host names in lower case, and IPv4 addresses; `_` because real networks use it. */
export const HOST = 8
/** The unquoted value of a header parameter. */
export const VALUE = 16
/** uri-parameters and headers of a URI, besides escapes and their own delimiters. */
export const URI = 32
export const DIGIT = 64
/** unreserved: equal to its escaped form (§19.1.4). */
export const UNRESERVED = 128

const ALPHANUM = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const MARK = "-_.!~*'()"
/** Illegal there, yet sent by phones (`sip:#31#@…`, raw UTF-8): harmless, since none of them delimits anything. */
const USER_LENIENT = '#[]^`{|}'

/** The class bits of each byte. */
export const classes = new Uint8Array(256)

function add(bit: number, characters: string): void {
  for (let i = 0; i < characters.length; i++) classes[characters.charCodeAt(i)] = classAt(characters, i) | bit
}

function addRange(bit: number, first: number, last: number, except = ''): void {
  for (let c = first; c <= last; c++) {
    if (!except.includes(String.fromCharCode(c))) classes[c] = classOf(c) | bit
  }
}

/** The class bits of a character code; 0 for what no latin1 text can hold. */
export function classOf(code: number): number {
  return classes[code] ?? 0
}

export function classAt(text: string, index: number): number {
  return classes[text.charCodeAt(index)] ?? 0
}

add(TOKEN, `${ALPHANUM}-.!%*_+\`'~`)
add(LWS, ' \t\r\n')
add(USER, `${ALPHANUM}${MARK}&=+$,;?/${USER_LENIENT}`)
addRange(USER, 0x80, 0xff)
add(HOST, 'abcdefghijklmnopqrstuvwxyz0123456789-._')
addRange(VALUE, 0x21, 0xff, '";,<>\x7f')
addRange(URI, 0x21, 0xff, '"%;?@<>\x7f')
add(DIGIT, '0123456789')
add(UNRESERVED, ALPHANUM + MARK)

/** Value of a hexadecimal digit, or -1. */
export function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

export function skipLws(text: string, start: number, end: number): number {
  let i = start
  while (i < end && (classAt(text, i) & LWS) !== 0) i++
  return i
}

/** The end of `text[start, end)` without its trailing white space. */
export function trimEnd(text: string, start: number, end: number): number {
  let i = end
  while (i > start && (classAt(text, i - 1) & LWS) !== 0) i--
  return i
}

/** Where the token (RFC 3261 §25.1) that begins at `start` ends; `start` itself if none does. */
export function tokenEnd(text: string, start: number, end: number): number {
  let i = start
  while (i < end && (classAt(text, i) & TOKEN) !== 0) i++
  return i
}

/** Where `indexOf` has found something, or `end` if that is not before it. */
export function within(index: number, end: number): number {
  return index < 0 || index > end ? end : index
}

/** The number in `text[start, end)`, which is known to be digits. */
export function numberAt(text: string, start: number, end: number): number {
  let value = 0
  for (let i = start; i < end; i++) value = value * 10 + text.charCodeAt(i) - 0x30
  return value
}

/** The number in `text[start, end)`; -1 when it is empty, not all digits, or above `max`. */
export function readNumber(text: string, start: number, end: number, max: number): number {
  if (start >= end) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
    if (value > max) return -1
  }
  return value
}

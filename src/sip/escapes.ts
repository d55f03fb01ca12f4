import { classes, hexValue, PERCENT, UNRESERVED } from './chars.ts'

/** reserved (RFC 3261 §25.1): not equal to their escaped forms. */
const RESERVED = ';/?:@&=+$,'

/** How each byte is spelt when it stands unescaped, and when it is escaped. */
const plain: string[] = []
const escaped: string[] = []
for (let byte = 0; byte < 256; byte++) {
  const character = String.fromCharCode(byte)
  const spelt = `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  const unreserved = ((classes[byte] ?? 0) & UNRESERVED) !== 0
  plain.push(unreserved || RESERVED.includes(character) ? character : spelt)
  escaped.push(unreserved ? character : spelt)
}

/** `text` with every whole `%HH` decoded to the byte it stands for. */
export function decodeEscapes(text: string): string {
  let next = text.indexOf('%')
  if (next < 0) return text
  let decoded = ''
  let start = 0
  for (; next >= 0; next = text.indexOf('%', next + 1)) {
    if (!isEscape(text, next)) continue
    decoded += text.slice(start, next) + String.fromCharCode(byteAt(text, next))
    start = next + 3
    next += 2
  }
  return decoded + text.slice(start)
}

/**
 * The one spelling of all texts that differ in escaping only (RFC 3261 §19.1.4): unreserved characters plain, reserved
 * ones as they came, since those are *not* equal to their escapes, and everything else (space, controls, `"`, bytes
 * from 0x80) escaped in upper case. The result is ASCII.
 */
export function normalizeEscapes(text: string): string {
  let i = 0
  while (i < text.length && plain[text.charCodeAt(i)]?.length === 1) i++
  if (i === text.length) return text
  let normal = text.slice(0, i)
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === PERCENT && isEscape(text, i)) {
      normal += escaped[byteAt(text, i)]
      i += 2
    } else {
      normal += plain[c & 255]
    }
  }
  return normal
}

function byteAt(text: string, index: number): number {
  return hexValue(text.charCodeAt(index + 1)) * 16 + hexValue(text.charCodeAt(index + 2))
}

function isEscape(text: string, index: number): boolean {
  return hexValue(text.charCodeAt(index + 1)) >= 0 && hexValue(text.charCodeAt(index + 2)) >= 0
}

import { DIGIT, LWS, SP, TOKEN } from './chars.ts'
import { isOf, load, readNumber, skip, skipLws } from './scan.ts'

export interface CSeq {
  readonly number: number
  readonly method: string
}

/** RFC 3261 §8.1.1.5: below 2³¹. */
const MAX_CSEQ = 0x7f_ff_ff_ff

/** Parses the CSeq value in the range, folded or not; undefined when it is malformed or its number out of range. */
export function parseCSeq(text: string, start = 0, end = text.length): CSeq | undefined {
  let i = start
  let number = 0
  for (let digit = digitAt(text, i); digit >= 0 && i < end; digit = digitAt(text, ++i))
    number = number * 10 + digit
  // Nine digits are below the limit whatever they are.
  const isUsual = i > start && i - start <= 9 && text.charCodeAt(i) === SP && isUpperCase(text, i + 1, end)
  return isUsual ? { number, method: text.slice(i + 1, end) } : scanCSeq(text, start, end)
}

function digitAt(text: string, index: number): number {
  const digit = text.charCodeAt(index) - 0x30
  return digit <= 9 ? digit : -1
}

function isUpperCase(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x41 || c > 0x5a) return false
  }
  return end > start
}

/** The whole grammar, for what is spelt less usually. */
export function scanCSeq(text: string, start = 0, end = text.length): CSeq | undefined {
  if (!load(text)) return undefined
  const first = skipLws(start, end)
  const numberEnd = skip(DIGIT, first, end)
  const number = readNumber(first, numberEnd, MAX_CSEQ)
  if (number < 0 || numberEnd === end || !isOf(LWS, numberEnd)) return undefined
  const methodStart = skipLws(numberEnd, end)
  const methodEnd = skip(TOKEN, methodStart, end)
  if (methodEnd === methodStart || skipLws(methodEnd, end) !== end) return undefined
  return { number, method: text.slice(methodStart, methodEnd) }
}

import { classAt, DIGIT, LWS, readNumber, skipLws, TOKEN } from './chars.ts'

export interface CSeq {
  readonly number: number
  readonly method: string
}

/** RFC 3261 §8.1.1.5: below 2³¹. */
const MAX_CSEQ = 0x7f_ff_ff_ff

/** Parses a CSeq value, folded or not; undefined when it is malformed or its number out of range. */
export function parseCSeq(text: string): CSeq | undefined {
  const start = skipLws(text, 0, text.length)
  let numberEnd = start
  while ((classAt(text, numberEnd) & DIGIT) !== 0) numberEnd++
  const number = readNumber(text, start, numberEnd, MAX_CSEQ)
  if (number < 0 || (classAt(text, numberEnd) & LWS) === 0) return undefined
  const methodStart = skipLws(text, numberEnd, text.length)
  let methodEnd = methodStart
  while ((classAt(text, methodEnd) & TOKEN) !== 0) methodEnd++
  if (methodEnd === methodStart || skipLws(text, methodEnd, text.length) !== text.length) return undefined
  return { number, method: text.slice(methodStart, methodEnd) }
}

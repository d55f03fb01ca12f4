import { DIGIT, LWS, TOKEN } from './chars.ts'
import { isOf, load, readNumber, skip, skipLws } from './scan.ts'

export interface CSeq {
  readonly number: number
  readonly method: string
}

/** RFC 3261 §8.1.1.5: below 2³¹. */
const MAX_CSEQ = 0x7f_ff_ff_ff

/** Parses the CSeq value in the range, folded or not; undefined when it is malformed or its number out of range. */
export function parseCSeq(text: string, start = 0, end = text.length): CSeq | undefined {
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

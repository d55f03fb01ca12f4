import { DIGIT, LWS, numberAt, TOKEN } from './chars.ts'
import { knownMethodAt, methodAt } from './method.ts'
import { CSEQ } from './patterns.ts'
import { isOf, load, readNumber, skip, skipLws } from './scan.ts'

export interface CSeq {
  readonly number: number
  readonly method: string
}

/** RFC 3261 §8.1.1.5: below 2³¹. */
const MAX_CSEQ = 0x7f_ff_ff_ff

const USUAL = new RegExp(CSEQ, 'y')

/** Parses the CSeq value in the range, folded or not; undefined when it is malformed or its number out of range. */
export function parseCSeq(text: string, start = 0, end = text.length): CSeq | undefined {
  USUAL.lastIndex = start
  return USUAL.test(text) && USUAL.lastIndex === end
    ? usualCSeq(text, start, end)
    : scanCSeq(text, start, end)
}

/** What the pattern has recognised. */
export function usualCSeq(text: string, start: number, end: number): CSeq {
  const space = text.indexOf(' ', start)
  return { number: numberAt(text, start, space), method: knownMethodAt(text, space + 1, end) }
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
  return { number, method: methodAt(text, methodStart, methodEnd) }
}

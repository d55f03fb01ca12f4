import { findParam } from './params.ts'
import { parseDeltaSeconds } from './scalar.ts'

/** RFC 3261 §20.33. */
export interface RetryAfter {
  readonly delaySec: number
  /** How long the callee will then be there. */
  readonly durationSec: number | undefined
}

/** `18000;duration=3600`, or with a comment: `120 (I'm in a meeting)`; undefined when malformed or out of range. */
export function parseRetryAfter(text: string): RetryAfter | undefined {
  const match = /^\s*(\d+)\s*(?:\((?:[^()\\]|\\.)*\)\s*)?(;.*)?$/s.exec(text)
  const delaySec = parseDeltaSeconds(match?.[1] ?? '')
  if (delaySec === undefined) return undefined
  return { delaySec, durationSec: parseDeltaSeconds(findParam(match?.[2] ?? '', 'duration') ?? '') }
}

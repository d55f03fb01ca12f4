import { load, readNumber } from './scan.ts'

const MAX_UINT32 = 0xff_ff_ff_ff

/** delta-seconds of Expires, Min-Expires and `expires=`; undefined when malformed or beyond 2³²−1 (RFC 4475 §3.1.2.4). */
export function parseDeltaSeconds(text: string): number | undefined {
  return bounded(text, MAX_UINT32)
}

/** 0…255; undefined when malformed or out of range, which count as absent. */
export function parseMaxForwards(text: string): number | undefined {
  return bounded(text, 255)
}

export function parseContentLength(text: string): number | undefined {
  return bounded(text, Number.MAX_SAFE_INTEGER)
}

function bounded(text: string, max: number): number | undefined {
  const value = load(text) ? readNumber(0, text.length, max) : -1
  return value < 0 ? undefined : value
}

import { classAt, skipLws, TOKEN } from './chars.ts'
import { findParam } from './params.ts'

/** RFC 6665 §8.2.1. */
export interface Event {
  /** The event package with its templates, lower case: `presence.winfo`. */
  readonly package: string
  readonly id: string | undefined
}

export function parseEvent(text: string): Event | undefined {
  const start = skipLws(text, 0, text.length)
  let end = start
  while (end < text.length && (classAt(text, end) & TOKEN) !== 0) end++
  if (end === start) return undefined
  const next = skipLws(text, end, text.length)
  if (next < text.length && text.charAt(next) !== ';') return undefined
  return { package: text.slice(start, end).toLowerCase(), id: findParam(text, 'id', next) }
}

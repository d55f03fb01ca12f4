import { TOKEN } from './chars.ts'
import { findParam } from './params.ts'
import { load, skip, skipLws } from './scan.ts'

/** RFC 6665 §8.2.1. */
export interface Event {
  /** The event package with its templates, lower case: `presence.winfo`. */
  readonly package: string
  readonly id: string | undefined
}

export function parseEvent(text: string): Event | undefined {
  if (!load(text)) return undefined
  const start = skipLws(0, text.length)
  const end = skip(TOKEN, start, text.length)
  const next = skipLws(end, text.length)
  if (end === start || (next < text.length && text.charAt(next) !== ';')) return undefined
  return { package: text.slice(start, end).toLowerCase(), id: findParam(text, 'id', next) }
}

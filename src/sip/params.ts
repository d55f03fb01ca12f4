import { COMMA, EQUALS, GREATER, LESS, QUOTE, SEMI, TOKEN, VALUE } from './chars.ts'
import { byteAt, equalsIgnoreCase, indexOf, load, skip, skipLws, skipQuoted, trimEnd } from './scan.ts'

/** A header parameter; `value` is undefined when there is no `=`, and unquoted. */
export interface Param {
  readonly name: string
  readonly value: string | undefined
}

/**
 * Where the parameter that `readParam` has just read lies. One object for all calls: it saves an allocation per
 * parameter, and nothing is called between writing and reading it.
 */
export const found = { nameStart: 0, nameEnd: 0, valueStart: -1, valueEnd: -1 }

/**
 * Reads one generic-param (RFC 3261 §25.1) of the loaded text, `start` being just behind its `;`. Returns the index of
 * the `;` or `,` that follows, or `end`; -1 when malformed. A `;` with nothing behind it is let pass (phones send
 * it), `;;` is not.
 */
export function readParam(start: number, end: number): number {
  let i = skipLws(start, end)
  found.nameStart = i
  i = skip(TOKEN, i, end)
  found.nameEnd = i
  found.valueStart = -1
  if (i === found.nameStart) return i === end ? end : -1
  i = skipLws(i, end)
  if (i < end && byteAt(i) === EQUALS) {
    i = readValue(skipLws(i + 1, end), end)
    if (i < 0) return -1
  }
  if (i === end) return end
  const c = byteAt(i)
  return c === SEMI || c === COMMA ? i : -1
}

function readValue(start: number, end: number): number {
  const i = start < end && byteAt(start) === QUOTE ? skipQuoted(start, end) : skip(VALUE, start, end)
  if (i < 0) return -1
  found.valueStart = start
  found.valueEnd = i
  return skipLws(i, end)
}

/** The value of `name` (in lower case) among `;a;b=c`: '' without `=`, undefined when it is not there. */
export function findParam(text: string, name: string, start = 0, end = text.length): string | undefined {
  if (!load(text)) return undefined
  let i = skipLws(start, end)
  while (i < end && byteAt(i) === SEMI) {
    i = readParam(i + 1, end)
    if (i < 0) return undefined
    if (equalsIgnoreCase(found.nameStart, found.nameEnd, name)) return valueFound(text) ?? ''
  }
  return undefined
}

function valueFound(text: string): string | undefined {
  return found.valueStart < 0 ? undefined : unquote(text.slice(found.valueStart, found.valueEnd))
}

/** All of `;a;b=c`, in order, names as received; undefined when malformed. For what is not on the fast path. */
export function parseParams(text: string, start = 0, end = text.length): Param[] | undefined {
  if (!load(text)) return undefined
  const params: Param[] = []
  let i = skipLws(start, end)
  while (i < end) {
    if (byteAt(i) !== SEMI) return undefined
    i = readParam(i + 1, end)
    if (i < 0) return undefined
    if (found.nameStart === found.nameEnd) continue
    params.push({ name: text.slice(found.nameStart, found.nameEnd), value: valueFound(text) })
  }
  return params
}

/** A quoted-string without its quotes and backslashes; anything else as it is. */
export function unquote(value: string): string {
  if (value.charCodeAt(0) !== QUOTE) return value
  const inner = value.slice(1, -1)
  return inner.includes('\\') ? inner.replace(/\\([\s\S])/g, '$1') : inner
}

/** `value` as a quoted-string. */
export function quote(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}

/** The elements of a comma list, trimmed; commas in quotes and in `<>` do not separate, empty elements vanish. */
export function splitList(text: string, start = 0, end = text.length): string[] {
  const elements: string[] = []
  if (!load(text)) return elements
  for (let from = start; from < end; ) {
    const next = elementEnd(text, from, end)
    const first = skipLws(from, next)
    const last = trimEnd(first, next)
    if (last > first) elements.push(text.slice(first, last))
    from = next + 1
  }
  return elements
}

/** Up to what could end an element or hide a comma, or to a fold. */
const PLAIN = /[^,"<\n]*/y

/** The index of the comma that ends the list element at `start`, or `end`. An unclosed quote or `<` takes the rest. */
export function elementEnd(text: string, start: number, end: number): number {
  PLAIN.lastIndex = start
  PLAIN.test(text)
  const plainEnd = PLAIN.lastIndex
  if (plainEnd >= end) return end
  return text.charCodeAt(plainEnd) === COMMA ? plainEnd : scanElement(text, plainEnd, end)
}

function scanElement(text: string, start: number, end: number): number {
  if (!load(text)) return end
  for (let i = start; i < end; i++) {
    const c = byteAt(i)
    if (c === COMMA) return i
    if (c === QUOTE) {
      i = skipQuoted(i, end) - 1
      if (i < 0) return end
    } else if (c === LESS) {
      i = indexOf(GREATER, i + 1, end)
      if (i < 0) return end
    }
  }
  return end
}

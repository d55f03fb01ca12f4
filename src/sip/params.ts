import {
  COMMA,
  classAt,
  EQUALS,
  equalsIgnoreCase,
  GREATER,
  LESS,
  QUOTE,
  SEMI,
  skipLws,
  skipQuoted,
  TOKEN,
  trimEnd,
  VALUE,
} from './chars.ts'

/** A header parameter; `value` is undefined when there is no `=`, and unquoted. */
export interface Param {
  readonly name: string
  readonly value: string | undefined
}

/**
 * Where the parameter that `readParam` has just read lies. One object for all calls: it saves an allocation per
 * parameter (a third of the time of a Via), and nothing is called between writing and reading it.
 */
export const found = { nameStart: 0, nameEnd: 0, valueStart: -1, valueEnd: -1 }

/**
 * Reads one generic-param (RFC 3261 §25.1), `start` being just behind its `;`. Returns the index of the `;` or `,`
 * that follows, or `end`; -1 when malformed. A `;` with nothing behind it is let pass (phones send it), `;;` is not.
 */
export function readParam(text: string, start: number, end: number): number {
  let i = skipLws(text, start, end)
  found.nameStart = i
  while (i < end && (classAt(text, i) & TOKEN) !== 0) i++
  found.nameEnd = i
  found.valueStart = -1
  if (i === found.nameStart) return i === end ? end : -1
  i = skipLws(text, i, end)
  if (i < end && text.charCodeAt(i) === EQUALS) {
    i = readValue(text, skipLws(text, i + 1, end), end)
    if (i < 0) return -1
  }
  if (i === end) return end
  const c = text.charCodeAt(i)
  return c === SEMI || c === COMMA ? i : -1
}

function readValue(text: string, start: number, end: number): number {
  let i = start
  if (i < end && text.charCodeAt(i) === QUOTE) {
    i = skipQuoted(text, i, end)
    if (i < 0) return -1
  } else {
    while (i < end && (classAt(text, i) & VALUE) !== 0) i++
  }
  found.valueStart = start
  found.valueEnd = i
  return skipLws(text, i, end)
}

/** The value of `name` (in lower case) among `;a;b=c`: '' without `=`, undefined when it is not there. */
export function findParam(text: string, name: string, start = 0, end = text.length): string | undefined {
  let i = skipLws(text, start, end)
  while (i < end && text.charCodeAt(i) === SEMI) {
    i = readParam(text, i + 1, end)
    if (i < 0) return undefined
    if (equalsIgnoreCase(text, found.nameStart, found.nameEnd, name)) return valueFound(text)
  }
  return undefined
}

function valueFound(text: string): string {
  return found.valueStart < 0 ? '' : unquote(text.slice(found.valueStart, found.valueEnd))
}

/** All of `;a;b=c`, in order, names as received; undefined when malformed. For what is not on the fast path. */
export function parseParams(text: string, start = 0, end = text.length): Param[] | undefined {
  const params: Param[] = []
  let i = skipLws(text, start, end)
  while (i < end) {
    if (text.charCodeAt(i) !== SEMI) return undefined
    i = readParam(text, i + 1, end)
    if (i < 0) return undefined
    if (found.nameStart === found.nameEnd) continue
    const name = text.slice(found.nameStart, found.nameEnd)
    params.push({ name, value: found.valueStart < 0 ? undefined : valueFound(text) })
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
export function splitList(text: string): string[] {
  if (!text.includes(',')) {
    const only = text.trim()
    return only === '' ? [] : [only]
  }
  const elements: string[] = []
  for (let start = 0; start < text.length; ) {
    const end = elementEnd(text, start, text.length)
    const first = skipLws(text, start, end)
    const last = trimEnd(text, first, end)
    if (last > first) elements.push(text.slice(first, last))
    start = end + 1
  }
  return elements
}

/** The index of the comma that ends the list element at `start`, or `end`. An unclosed quote or `<` takes the rest. */
export function elementEnd(text: string, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    if (c === COMMA) return i
    if (c === QUOTE) {
      i = skipQuoted(text, i, end) - 1
      if (i < 0) return end
    } else if (c === LESS) {
      i = closingAngle(text, i, end)
      if (i < 0) return end
    }
  }
  return end
}

function closingAngle(text: string, start: number, end: number): number {
  for (let i = start + 1; i < end; i++) if (text.charCodeAt(i) === GREATER) return i
  return -1
}

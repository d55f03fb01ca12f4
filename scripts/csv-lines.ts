import { isUtf8 } from 'node:buffer'

/** A line of a CSV file, the first is 1. */
export interface CsvLine {
  readonly line: number
  /** undefined: it could not be read. */
  readonly fields: readonly string[] | undefined
  /** Why not. */
  readonly problem?: string
}

/** Far above any row of ours: a file without line feeds must not fill the memory. */
const MAX_LINE = 65_536
const LF = 0x0a
const CR = 0x0d

/**
 * CSV of RFC 4180 in UTF-8, with one difference: a field holds no line break. So each line stands for itself, and a quote
 * that is never closed costs its own line and not the rest of the file. The separator is the first of comma, semicolon and tab that
 * the first line has. Empty lines are left out. Yields the lines of one piece of the source at a time.
 */
export async function* readCsv(source: AsyncIterable<Buffer>): AsyncGenerator<CsvLine[], void, void> {
  const reader = new CsvReader()
  for await (const chunk of source) yield reader.read(chunk)
  yield reader.end()
}

class CsvReader {
  #line = 0
  #separator: string | undefined
  /** What has come of a line that is not complete. */
  #rest: Buffer[] = []
  #restBytes = 0

  read(chunk: Buffer): CsvLine[] {
    const lines: CsvLine[] = []
    let start = 0
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      this.#push(lines, this.#complete(chunk.subarray(start, end)))
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  end(): CsvLine[] {
    const lines: CsvLine[] = []
    if (this.#restBytes > 0) this.#push(lines, this.#complete(Buffer.alloc(0)))
    return lines
  }

  #keep(rest: Buffer): void {
    this.#restBytes += rest.length
    // Too long is too long: what it says need not be kept.
    if (rest.length > 0 && this.#restBytes <= MAX_LINE) this.#rest.push(rest)
  }

  #complete(end: Buffer): Buffer | undefined {
    const length = this.#restBytes + end.length
    const line = this.#rest.length === 0 ? end : Buffer.concat([...this.#rest, end])
    this.#rest = []
    this.#restBytes = 0
    return length > MAX_LINE ? undefined : line
  }

  #push(lines: CsvLine[], bytes: Buffer | undefined): void {
    const line = ++this.#line
    if (!bytes) {
      lines.push({ line, fields: undefined, problem: `longer than ${MAX_LINE} bytes` })
      return
    }
    const text = textOf(bytes, line === 1)
    if (text === undefined) lines.push({ line, fields: undefined, problem: 'not UTF-8' })
    else if (text !== '') lines.push(this.#split(line, text))
  }

  #split(line: number, text: string): CsvLine {
    this.#separator ??= [',', ';', '\t'].find((separator) => text.includes(separator)) ?? ','
    const fields = splitFields(text, this.#separator)
    return fields ? { line, fields } : { line, fields, problem: 'a quote is not closed, or text follows it' }
  }
}

function textOf(bytes: Buffer, isFirst: boolean): string | undefined {
  const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length
  const text = bytes.toString('utf8', 0, end)
  if (text.includes('\ufffd') && !isUtf8(bytes)) return undefined
  return isFirst && text.startsWith('\ufeff') ? text.slice(1) : text
}

/** undefined: its quotes are wrong. */
export function splitFields(text: string, separator: string): string[] | undefined {
  if (!text.includes('"')) return text.split(separator)
  const fields: string[] = []
  for (let start = 0; ; ) {
    const field = text[start] === '"' ? quotedField(text, start) : plainField(text, start, separator)
    if (!field) return undefined
    fields.push(field.value)
    if (field.end === text.length) return fields
    if (text[field.end] !== separator) return undefined
    start = field.end + 1
  }
}

interface Field {
  readonly value: string
  readonly end: number
}

function plainField(text: string, start: number, separator: string): Field {
  const next = text.indexOf(separator, start)
  const end = next < 0 ? text.length : next
  return { value: text.slice(start, end), end }
}

function quotedField(text: string, start: number): Field | undefined {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 2)) {
    if (text[end + 1] !== '"')
      return { value: text.slice(start + 1, end).replaceAll('""', '"'), end: end + 1 }
  }
  return undefined
}

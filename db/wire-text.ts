/**
 * Wire text is one character per byte; the database holds UTF-8, which a DBA reads. Nearly everything is ASCII and
 * passes as it is. Bytes that are no UTF-8 cannot be kept as they were: they become the characters of ISO 8859-1.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what it looks for; PostgreSQL cannot store it
const NEEDS_WORK = /[^\x01-\x7f]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const NUL = /\x00/g
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Wire text as the database stores it. A NUL becomes U+FFFD, so that one bad message cannot fail a whole batch. */
export function toSql(wire: string): string {
  if (!NEEDS_WORK.test(wire)) return wire
  try {
    return utf8.decode(Buffer.from(wire, 'latin1')).replace(NUL, '\ufffd')
  } catch {
    return wire.replace(NUL, '\ufffd')
  }
}

/** The same text as it goes on the wire. */
export function fromSql(text: string): string {
  return NEEDS_WORK.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
}

export const toSqlOrNull = (wire: string | null): string | null => (wire === null ? null : toSql(wire))
export const fromSqlOrNull = (text: string | null): string | null => (text === null ? null : fromSql(text))

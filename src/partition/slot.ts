/** How many slots the users are spread over. Fixed: stored maps and rows are in terms of it. */
export const SLOTS = 16_384

const table = new Int32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xed_b8_83_20
  table[byte] = crc
}

/**
 * CRC-32 (the polynomial of zlib) of a latin1 string, one byte a character. Canonical users are ASCII, so the bytes are
 * the ones PostgreSQL sees. For other text in UTF-8 that is so too if it came from the wire; text that was *decoded*
 * from UTF-8 must be encoded first: `Buffer.from(text).toString('latin1')`.
 */
export function crc32(text: string): number {
  let crc = -1
  for (let i = 0; i < text.length; i++) crc = (table[(crc ^ text.charCodeAt(i)) & 255] ?? 0) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The slot of a user in canonical form (`canonicalUser`): 0…16383. SQL has the same function. */
export function slotOf(canonicalUser: string): number {
  return crc32(canonicalUser) & (SLOTS - 1)
}

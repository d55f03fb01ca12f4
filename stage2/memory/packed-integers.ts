/** The largest number that takes six bytes: as milliseconds since the epoch, in the year 10889. */
export const MAX_48 = 2 ** 48 - 1

/**
 * Writes a whole number in six bytes; one that is out of their range becomes the nearest in it. Twice as fast as
 * `writeUIntLE`.
 */
export function write48(bytes: Buffer, offset: number, value: number): void {
  const within = value > 0 ? Math.min(value, MAX_48) : 0
  const low = within >>> 0
  const high = Math.floor(within / 2 ** 32)
  bytes[offset] = low
  bytes[offset + 1] = low >>> 8
  bytes[offset + 2] = low >>> 16
  bytes[offset + 3] = low >>> 24
  bytes[offset + 4] = high
  bytes[offset + 5] = high >>> 8
}

export function read48(bytes: Buffer, offset: number): number {
  return read32(bytes, offset) + read16(bytes, offset + 4) * 2 ** 32
}

export function write32(bytes: Buffer, offset: number, value: number): void {
  bytes[offset] = value
  bytes[offset + 1] = value >>> 8
  bytes[offset + 2] = value >>> 16
  bytes[offset + 3] = value >>> 24
}

export function read32(bytes: Buffer, offset: number): number {
  return (read16(bytes, offset) | (read16(bytes, offset + 2) << 16)) >>> 0
}

export function write16(bytes: Buffer, offset: number, value: number): void {
  bytes[offset] = value
  bytes[offset + 1] = value >>> 8
}

export function read16(bytes: Buffer, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8)
}

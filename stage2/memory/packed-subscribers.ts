import type { SubscriberRow } from '../../db/subscriber-store.ts'
import { read16, read48, write16, write48 } from './packed-integers.ts'

/*
 * A row: flags (1 byte), slot (2 bytes), rev (6 bytes), and the HA1s that there are, as bytes.
 */
const SLOT = 1
const REV = 3
const HA1S = 9

const ENABLED = 1
const HAS_MD5 = 2
const HAS_SHA256 = 4
const HAS_SHA512_256 = 8

const MD5_BYTES = 16
const SHA256_BYTES = 32

/** What {@link writeSubscriber} writes at most. */
export const SUBSCRIBER_BYTES = HA1S + MD5_BYTES + 2 * SHA256_BYTES

/** Writes a row without user and domain at the beginning of `bytes`. @returns its length */
export function writeSubscriber(row: SubscriberRow, bytes: Buffer): number {
  const { ha1Md5, ha1Sha256, ha1Sha512256 } = row
  bytes[0] =
    (row.enabled ? ENABLED : 0) |
    (ha1Md5 === null ? 0 : HAS_MD5) |
    (ha1Sha256 === null ? 0 : HAS_SHA256) |
    (ha1Sha512256 === null ? 0 : HAS_SHA512_256)
  write16(bytes, SLOT, row.slot)
  write48(bytes, REV, row.rev)
  let end = HA1S
  for (const ha1 of [ha1Md5, ha1Sha256, ha1Sha512256]) if (ha1 !== null) end += bytes.write(ha1, end, 'hex')
  return end
}

/** The row at `at`. */
export function readSubscriber(bytes: Buffer, at: number, user: string, domain: string): SubscriberRow {
  const flags = bytes[at] as number
  let end = at + HA1S
  const ha1 = (flag: number, length: number): string | null => {
    if ((flags & flag) === 0) return null
    end += length
    return bytes.toString('hex', end - length, end)
  }
  return {
    domain,
    user,
    slot: slotAt(bytes, at),
    enabled: (flags & ENABLED) !== 0,
    ha1Md5: ha1(HAS_MD5, MD5_BYTES),
    ha1Sha256: ha1(HAS_SHA256, SHA256_BYTES),
    ha1Sha512256: ha1(HAS_SHA512_256, SHA256_BYTES),
    rev: read48(bytes, at + REV),
  }
}

/** The slot of the row at `at`. */
export const slotAt = (bytes: Buffer, at: number): number => read16(bytes, at + SLOT)

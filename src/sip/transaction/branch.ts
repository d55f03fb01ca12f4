import { randomFillSync } from 'node:crypto'
import { MAGIC_COOKIE } from '../via.ts'

const BYTES = 12
// Filling one branch at a time costs 1 µs, almost all of it the call.
const pool = Buffer.alloc(BYTES * 512)
let used = pool.length

/** A branch that nobody can guess or repeat: 96 random bits. */
export function newBranch(): string {
  return MAGIC_COOKIE + randomHex()
}

/** A tag: RFC 3261 §19.3 asks for 32 random bits. */
export function newTag(): string {
  return randomHex()
}

function randomHex(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += BYTES
  return pool.toString('hex', used - BYTES, used)
}

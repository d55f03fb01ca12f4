import { createHmac, hash } from 'node:crypto'

const BLOCK_BYTES = 64

/**
 * Tokens that every member of a cluster derives alike from the same text, and nobody without the key can predict:
 * branches that are a pure function of a transaction, and the signatures of nonces. `purpose` keeps the uses of one
 * key apart.
 *
 * Measured for 155 characters: {@link token} 0.5 µs, {@link mac} 1.1 µs; crypto.hash('md5') 0.5 µs,
 * createHash('md5') 1.2 µs, createHmac('sha256') 2.6 µs; in TypeScript, HalfSipHash-1-3 twice (128 bits) 0.6 µs and
 * SipHash-1-3 on pairs of 32 bits 0.5 µs. Since a weaker hash would not be faster, it is SHA-256: an attacker who
 * chooses a client's branch and Call-ID cannot make two transactions collide, whatever he sees of the result.
 */
export class KeyedHash {
  // 64 hex digits, one block: ASCII, because one-shot hashing takes strings as UTF-8.
  readonly #secret: string
  readonly #inner: string
  // The outer key's block, and room for the inner digest behind it.
  readonly #outer = Buffer.alloc(BLOCK_BYTES + 32)

  constructor(key: Uint8Array, purpose: string) {
    this.#secret = createHmac('sha256', key).update(purpose).digest('hex')
    this.#inner = pad(this.#secret, 0x36)
    this.#outer.write(pad(this.#secret, 0x5c), 'latin1')
  }

  /**
   * 128 bits as 32 hexadecimal digits, which survive a peer that changes their case. The digest is cut to half, so
   * that a secret prefix suffices: nobody can extend what he sees only half of.
   */
  token(text: string): string {
    return hash('sha256', this.#secret + text).slice(0, 32)
  }

  /** HMAC-SHA-256 (RFC 2104) as 43 characters of base64url; any prefix of it will do. */
  mac(text: string): string {
    // Two one-shot hashes: half of the price of createHmac.
    this.#outer.write(hash('sha256', this.#inner + text, 'binary'), BLOCK_BYTES, 'latin1')
    return hash('sha256', this.#outer, 'base64url')
  }
}

function pad(secret: string, mask: number): string {
  return String.fromCharCode(...Array.from(secret, (digit) => digit.charCodeAt(0) ^ mask))
}

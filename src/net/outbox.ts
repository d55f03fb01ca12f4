import type { Endpoint } from '../sip/endpoint.ts'
import type { Latin1Buffer } from './latin1-buffer.ts'
import { PEER_WORDS } from './peer-words.ts'

/** Messages a socket holds at most, and their bytes: several of the longest. */
const MESSAGES = 256
const BYTES = 256 * 1024

/** The messages of one socket that have not left yet, one behind the other in memory that the addon reads. */
export class Outbox {
  // Pages that no message reaches never become memory.
  readonly bytes = Buffer.alloc(BYTES) as Latin1Buffer
  readonly bounds = new Uint32Array(MESSAGES + 1)
  readonly targets = new Uint32Array(MESSAGES * PEER_WORDS)
  readonly #to = new Array<Endpoint | undefined>(MESSAGES).fill(undefined)
  /** The first that has not left; those before it have, and their room is free when all have. */
  first = 0
  end = 0

  get isEmpty(): boolean {
    return this.first === this.end
  }

  hasRoom(length: number): boolean {
    return this.end < MESSAGES && (this.bounds[this.end] ?? 0) + length <= BYTES
  }

  /** The target's words are to be written at index `end` before. */
  add(text: string, to: Endpoint): void {
    const start = this.bounds[this.end] ?? 0
    this.#to[this.end] = to
    this.end++
    this.bounds[this.end] = start + this.bytes.latin1Write(text, start)
  }

  to(index: number): Endpoint | undefined {
    return this.#to[index]
  }

  reset(): void {
    this.first = 0
    this.end = 0
  }
}

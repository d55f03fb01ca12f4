import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from '../src/partition/slot.ts'

/** Length and CRC-32 of what follows, each four bytes, big-endian. */
const HEADER = 8
/** What claims to be longer is damage: nothing of ours comes near it. */
const LONGEST = 64 * 1024 * 1024
const READ_AHEAD = 1024 * 1024

/** One record of a file: `payload`, one character per byte. */
export function frame(payload: string): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER + payload.length)
  bytes.writeUInt32BE(payload.length, 0)
  bytes.writeUInt32BE(crc32(payload), 4)
  bytes.write(payload, HEADER, 'latin1')
  return bytes
}

export interface Frame {
  readonly payload: string
  /** Where in the file the next one begins. */
  readonly end: number
}

/**
 * The records from offset `from` on, up to the first that is torn or damaged: what a crash in the middle of a write
 * leaves at the end of a file.
 */
export async function* readFrames(file: FileHandle, from = 0): AsyncGenerator<Frame, void, void> {
  const reader = new Reader(file, from)
  for (;;) {
    const header = await reader.take(HEADER)
    const length = header?.readUInt32BE(0) ?? 0
    const checksum = header?.readUInt32BE(4)
    if (!header || length > LONGEST) return
    const payload = (await reader.take(length))?.toString('latin1')
    if (payload === undefined || crc32(payload) !== checksum) return
    yield { payload, end: reader.position }
  }
}

/** Reads a file from front to back in large pieces. */
class Reader {
  /** Of the first byte that has not been taken. */
  position: number
  readonly #file: FileHandle
  #bytes: Buffer = Buffer.alloc(0)

  constructor(file: FileHandle, position: number) {
    this.#file = file
    this.position = position
  }

  /** The next bytes; `undefined` if the file has not so many. Good until the next call. */
  async take(length: number): Promise<Buffer | undefined> {
    if (this.#bytes.length < length) await this.#fill(length)
    if (this.#bytes.length < length) return undefined
    const taken = this.#bytes.subarray(0, length)
    this.#bytes = this.#bytes.subarray(length)
    this.position += length
    return taken
  }

  async #fill(length: number): Promise<void> {
    const bytes = Buffer.allocUnsafe(Math.max(length, READ_AHEAD))
    let filled = this.#bytes.copy(bytes)
    while (filled < length) {
      const { bytesRead } = await this.#file.read(
        bytes,
        filled,
        bytes.length - filled,
        this.position + filled,
      )
      if (bytesRead === 0) break
      filled += bytesRead
    }
    this.#bytes = bytes.subarray(0, filled)
  }
}

/** Writes all of it; a system may take less at a time. @throws the system's error */
export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}

/** Makes the creation or renaming of a file in this folder durable. @throws the system's error */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

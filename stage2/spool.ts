import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BindingRow } from '../db/binding-store.ts'
import type { Logger } from '../src/ops/logging.ts'
import { frame, readFrames, syncFolder, writeAll } from './framed-file.ts'
import { bindingCodec } from './row-codec.ts'

const FORMAT = 'tandem-spool 1'
const HEAD = frame(FORMAT)

export interface SpoolOptions {
  readonly path: string
  /** The file grows no larger; then {@link Spool.append} fails. */
  readonly maxBytes: number
  readonly log: Pick<Logger, 'warn' | 'error'>
  /** Other than the system's only in tests. */
  readonly openFile?: typeof open
}

/** Rows that were appended together, and where in the file the next begin. */
export interface SpooledRows {
  readonly rows: readonly BindingRow[]
  readonly end: number
}

/** The file would grow beyond its bound. */
export class SpoolFull extends Error {
  override readonly name = 'SpoolFull'
}

/**
 * Changes of bindings that PostgreSQL has not taken: a file, to which rows are appended and from which they are read in
 * order. What {@link append} has resolved for is on the disk. A crash in the middle of one leaves a torn record at the end,
 * for which nobody has been answered; it is dropped when the file is opened.
 */
export class Spool {
  readonly #options: SpoolOptions
  #file: FileHandle | undefined
  #end = HEAD.length
  /** One thing at a time happens to the file. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(options: SpoolOptions) {
    this.#options = options
  }

  /**
   * Opens the spool that a former process may have left. Where the folder lets nothing be written the spool is empty, and every
   * append tries again.
   * @throws the system's error if there is a file that cannot be read
   */
  static async open(options: SpoolOptions): Promise<Spool> {
    const spool = new Spool(options)
    await spool.#recover()
    return spool
  }

  get path(): string {
    return this.#options.path
  }

  get bytes(): number {
    return this.#end
  }

  get isEmpty(): boolean {
    return this.#end === HEAD.length
  }

  /** Makes the file if there is none. @throws the system's error: then nothing could be spooled */
  prepare(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#file) await this.#create()
    })
  }

  /** Resolves when these rows are on the disk. @throws SpoolFull, or the system's error: then they are not in the spool */
  append(rows: readonly BindingRow[]): Promise<void> {
    return this.#inTurn(async () => {
      const bytes = frame(bindingCodec.encode(rows))
      const { maxBytes } = this.#options
      if (this.#end + bytes.length > maxBytes) throw new SpoolFull(`the spool has its ${maxBytes} bytes`)
      const file = this.#file ?? (await this.#create())
      try {
        await writeAll(file, bytes, this.#end)
        await file.datasync()
      } catch (error) {
        await file.truncate(this.#end).catch(() => {})
        throw error
      }
      this.#end += bytes.length
    })
  }

  /** What was appended, from offset `from` on, in order; also what is appended meanwhile. */
  async *read(from = 0): AsyncGenerator<SpooledRows, void, void> {
    if (!this.#file || this.isEmpty) return
    for await (const { payload, end } of readFrames(this.#file, Math.max(from, HEAD.length))) {
      // What lies beyond is not on the disk yet.
      if (end > this.#end) return
      yield { rows: bindingCodec.decode(payload), end }
    }
  }

  /** Empties the spool, if nothing was appended beyond `end`. @returns whether it is empty */
  clear(end: number): Promise<boolean> {
    return this.#inTurn(async () => {
      if (end < this.#end) return false
      await this.#file?.truncate(HEAD.length)
      this.#end = HEAD.length
      return true
    })
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#file?.close()
      this.#file = undefined
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  async #recover(): Promise<void> {
    const { path, log, openFile = open } = this.#options
    try {
      this.#file = await openFile(path, 'r+')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      throw error
    }
    const { size } = await this.#file.stat()
    const end = await endOf(this.#file)
    if (end === undefined && size > HEAD.length) return await this.#putAside(this.#file)
    if (end === undefined) return await this.#begin(this.#file)
    if (end < size) log.warn({ path, bytes: size - end }, 'the spool ends in a torn record, which is dropped')
    await this.#file.truncate(end)
    this.#end = end
  }

  /** What is no spool, or damaged at its head, is an operator's to look at. */
  async #putAside(file: FileHandle): Promise<void> {
    const { path, log } = this.#options
    await file.close()
    this.#file = undefined
    await rename(path, `${path}.damaged`)
    log.error(
      { path: `${path}.damaged` },
      'the spool cannot be read and was put aside: registrations may be lost',
    )
  }

  async #create(): Promise<FileHandle> {
    const { path, openFile = open } = this.#options
    await mkdir(dirname(path), { recursive: true })
    const file = await openFile(path, 'w+', 0o600)
    try {
      await this.#begin(file)
    } catch (error) {
      await file.close().catch(() => {})
      throw error
    }
    this.#file = file
    return file
  }

  async #begin(file: FileHandle): Promise<void> {
    await file.truncate(0)
    await writeAll(file, HEAD, 0)
    await file.datasync()
    await syncFolder(dirname(this.#options.path))
  }
}

/** Where the last whole record ends; `undefined` if the file does not begin as a spool. */
async function endOf(file: FileHandle): Promise<number | undefined> {
  let end: number | undefined
  for await (const record of readFrames(file)) {
    if (end === undefined && record.payload !== FORMAT) return undefined
    end = record.end
  }
  return end
}

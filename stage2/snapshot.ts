import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BindingRow } from '../db/binding-store.ts'
import type { SubscriberRow } from '../db/subscriber-store.ts'
import { frame, readFrames, syncFolder, writeAll } from './framed-file.ts'
import { isLive } from './location.ts'
import { bindingCodec, type RowCodec, subscriberCodec } from './row-codec.ts'

const FORMAT = 'tandem-snapshot 1'
/** Rows in one record: less than a millisecond's work. */
const ROWS = 200
const WRITE_BYTES = 512 * 1024

/** What a snapshot says of itself. */
export interface SnapshotHead {
  /** Milliseconds since the epoch. */
  readonly savedAt: number
  /** Everything up to this change number is in it. */
  readonly position: number
}

export interface SnapshotRows {
  readonly subscribers: AsyncIterable<readonly SubscriberRow[]>
  readonly bindings: AsyncIterable<readonly BindingRow[]>
}

/**
 * Writes users and live bindings to a file, which is replaced in one step: a crash leaves the old one or the new one. Only its
 * owner can read it, for it holds users' HA1. The event loop goes on between any two hundred rows.
 * @returns how many rows were written
 * @throws the system's error
 */
export async function saveSnapshot(path: string, head: SnapshotHead, rows: SnapshotRows): Promise<number> {
  await mkdir(dirname(path), { recursive: true })
  const file = await open(`${path}.new`, 'w', 0o600)
  let count = 0
  try {
    const out = new Writer(file)
    await out.add(JSON.stringify({ format: FORMAT, ...head }))
    for await (const batch of rows.subscribers) count += await addRows(out, 'S', subscriberCodec, batch)
    const isKept = (row: BindingRow) => isLive(row, head.savedAt)
    for await (const batch of rows.bindings)
      count += await addRows(out, 'B', bindingCodec, batch.filter(isKept))
    await out.add(`E${count}`)
    await out.flush()
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  await syncFolder(dirname(path))
  return count
}

async function addRows<Row>(out: Writer, kind: string, codec: RowCodec<Row>, rows: readonly Row[]) {
  for (let at = 0; at < rows.length; at += ROWS) {
    await out.add(kind + codec.encode(rows.slice(at, at + ROWS)))
    await nextTurn()
  }
  return rows.length
}

/** Gathers records, so that the file is written in large pieces. */
class Writer {
  readonly #file: FileHandle
  #gathered: Buffer[] = []
  #bytes = 0
  #position = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  async add(payload: string): Promise<void> {
    const bytes = frame(payload)
    this.#gathered.push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes >= WRITE_BYTES) await this.flush()
  }

  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#gathered)
    this.#gathered = []
    this.#bytes = 0
    await writeAll(this.#file, bytes, this.#position)
    this.#position += bytes.length
  }
}

export interface SnapshotReader {
  subscribers(rows: readonly SubscriberRow[]): void
  bindings(rows: readonly BindingRow[]): void
}

/**
 * Reads a snapshot. Of a damaged one all that comes before the damage is given, and `position` is 0, so that everything is read
 * again from PostgreSQL.
 * @returns `undefined` if there is none that can be read
 */
export async function loadSnapshot(path: string, reader: SnapshotReader): Promise<SnapshotHead | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return undefined
  try {
    return await readSnapshot(file, reader)
  } finally {
    await file.close()
  }
}

async function readSnapshot(file: FileHandle, reader: SnapshotReader): Promise<SnapshotHead | undefined> {
  let head: (SnapshotHead & { readonly format: string }) | undefined
  let isWhole = false
  for await (const { payload } of readFrames(file)) {
    if (!head) {
      head = JSON.parse(payload) as SnapshotHead & { format: string }
      if (head.format !== FORMAT) return undefined
    } else if (payload[0] === 'S') reader.subscribers(subscriberCodec.decode(payload.slice(1)))
    else if (payload[0] === 'B') reader.bindings(bindingCodec.decode(payload.slice(1)))
    else isWhole = payload[0] === 'E'
  }
  return head && { savedAt: head.savedAt, position: isWhole ? head.position : 0 }
}

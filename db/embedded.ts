import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isErrorCode, TandemError } from '../src/ops/errors.ts'

export interface EmbeddedOptions {
  /** Folder of its own; the cluster goes into `postgres` inside it, its password into `postgres.password`. */
  readonly dataDir: string
  /** TCP port on 127.0.0.1. */
  readonly port: number
  /** Called with each line of PostgreSQL's log. */
  readonly onLog?: (line: string) => void
  /** Further arguments for initdb and postgres; for tests. */
  readonly initdbFlags?: readonly string[]
  readonly postgresFlags?: readonly string[]
}

export interface Embedded {
  /** Connection string of database `tandem`, with its password. */
  readonly url: string
  /** Process id of the keeper, not of PostgreSQL itself. */
  readonly pid: number
  /** Resolves when PostgreSQL has stopped, for whatever reason. */
  readonly exited: Promise<void>
  /** Stops PostgreSQL in order (a fast shutdown). */
  close(): Promise<void>
}

/** What the keeper's process reports. */
export type EmbeddedMessage =
  | { readonly ready: true; readonly url: string }
  | { readonly failed: { readonly code: string; readonly message: string; readonly hint?: string } }
  | { readonly log: string }

/**
 * Starts a PostgreSQL of our own in a process of its own, and its cluster when the folder is new. It stops when this
 * process ends, however it ends.
 * @throws TandemError PORT_TAKEN, DATA_DIR_FOREIGN, DATA_DIR_IN_USE, DATA_DIR_UNUSABLE, EMBEDDED_FAILED
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { onLog, ...rest } = options
  const entry = fileURLToPath(new URL(`./embedded-main${extname(import.meta.url)}`, import.meta.url))
  // Detached: Ctrl-C reaches a whole terminal group, and the database must outlive those who still write to it.
  const child = fork(entry, [JSON.stringify(rest)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await ready(child, onLog)
  return {
    url,
    pid: child.pid ?? 0,
    exited,
    close: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}

function ready(child: ChildProcess, onLog: (line: string) => void = () => {}): Promise<string> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: EmbeddedMessage) => {
      if ('log' in message) onLog(message.log)
      else if ('ready' in message) resolve(message.url)
      else reject(asError(message.failed))
    })
    child.once('error', (cause) => reject(failed(`cannot be started: ${cause.message}`, cause)))
    child.once('exit', (code, signal) => reject(failed(`ended at its start (${signal ?? `exit ${code}`})`)))
  })
}

function asError({ code, message, hint }: { code: string; message: string; hint?: string }): TandemError {
  return isErrorCode(code) ? new TandemError(code, message, { hint }) : failed(message)
}

const failed = (what: string, cause?: unknown) =>
  new TandemError('EMBEDDED_FAILED', `the embedded PostgreSQL ${what}`, {
    hint: 'set database.url to a PostgreSQL of your own',
    cause,
  })

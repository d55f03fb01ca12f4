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
}

export interface NodeRow extends NodeReport {
  /** By the database's clock, milliseconds since the epoch. */
  readonly startedAt: number
  readonly heartbeatAt: number
}

const REGISTER = {
  name: 'register-node',
  text: `insert into tandem.node (name, stage, addresses, version, map_version, state, reason)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (name) do update set stage = excluded.stage, addresses = excluded.addresses,
      version = excluded.version, map_version = excluded.map_version, state = excluded.state,
      reason = excluded.reason, started_at = now(), heartbeat_at = now()`,
}

/**
 * Puts the node's own row in place at its start. The others hear of it.
 * @throws TandemError, as {@link Database.query}
 */
export async function registerNode(db: Database, report: NodeReport): Promise<void> {
  const { name, stage, addresses, version, mapVersion, state, reason } = report
  await db.query(REGISTER, [name, stage, JSON.stringify(addresses), version, mapVersion, state, reason])
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

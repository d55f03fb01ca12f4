import type { ClusterKeys } from '../src/ops/cluster-keys.ts'
import type { Database } from './database.ts'

const LOAD = { name: 'cluster-keys', text: 'select role, secret from tandem.cluster_key' }

/**
 * The keys that all nodes share, 32 bytes each. Re-read them now and then: they are rotated by hand.
 * @throws TandemError, as {@link Database.query}
 */
export async function loadClusterKeys(db: Database): Promise<ClusterKeys> {
  const rows = await db.query<{ role: 'current' | 'previous'; secret: Buffer }>(LOAD)
  const current = rows.find(({ role }) => role === 'current')?.secret
  if (!current) throw new Error('table tandem.cluster_key has no current key')
  return { current, previous: rows.find(({ role }) => role === 'previous')?.secret }
}

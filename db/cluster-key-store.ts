import type { ClusterKeys } from '../src/ops/cluster-keys.ts'
import type { Database } from './database.ts'

/** Who hears it is to read the keys again. */
export const KEYS_CHANNEL = 'tandem_keys'

const LOAD = { name: 'cluster-keys', text: 'select role, secret from tandem.cluster_key' }

/**
 * The keys that all nodes share, 32 bytes each. They are rotated by hand, and told of on {@link KEYS_CHANNEL}.
 * @throws TandemError, as {@link Database.query}
 */
export async function loadClusterKeys(db: Database): Promise<ClusterKeys> {
  const rows = await db.query<{ role: 'next' | 'current' | 'previous'; secret: Buffer }>(LOAD)
  const secretOf = (wanted: string) => rows.find(({ role }) => role === wanted)?.secret
  const current = secretOf('current')
  if (!current) throw new Error('table tandem.cluster_key has no current key')
  return { current, previous: secretOf('previous'), next: secretOf('next') }
}

import { TandemError } from '../src/ops/errors.ts'
import type { Database } from './database.ts'
import { sqlState } from './database-error.ts'

/** Since when each cluster key has its role; milliseconds since the epoch, by the database's clock. */
export interface KeyAges {
  /** By the database's clock. */
  readonly now: number
  readonly nextSince: number | null
  readonly currentSince: number
  readonly previousSince: number | null
  /** Registrations that may carry a token of the previous key, and when the last of them ends. */
  readonly oldBindings: number
  readonly oldUntil: number | null
}

const ms = (column: string) => `(date_part('epoch', ${column}) * 1000)::bigint`

const AGES = `select ${ms('now()')} as now, ${ms('next_since')} as "nextSince", ${ms('current_since')} as "currentSince",
  ${ms('previous_since')} as "previousSince", old_bindings as "oldBindings", ${ms('old_until')} as "oldUntil"
  from tandem.cluster_key_ages()`

/** @throws TandemError, as {@link Database.query} */
export async function keyAges(db: Database): Promise<KeyAges> {
  const [ages] = await db.query<KeyAges>(AGES)
  if (!ages) throw new Error('the cluster keys have no ages')
  return ages
}

/**
 * The next key signs, the current one becomes the previous, and another is announced. All nodes are told.
 * @throws TandemError KEYS_IN_USE, unless forced, where nodes or registrations would suffer; and as {@link Database.query}
 */
export async function rotateKeys(db: Database, force: boolean): Promise<void> {
  try {
    await db.query('select tandem.rotate_cluster_key($1)', [force])
  } catch (error) {
    if (sqlState(error) !== '55000') throw error
    const { message, hint } = error as Error & { hint?: string }
    throw new TandemError('KEYS_IN_USE', message, { hint: `${hint ?? 'wait'}: --force`, cause: error })
  }
}

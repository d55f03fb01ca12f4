import type { Database } from './database.ts'
import { ALL_SLOTS, type Slots } from './slot-ranges.ts'

/** Slots whose rows one statement looks at, so that it is a short one also with millions of bindings. */
const SLOTS = 256
const BATCH = 2_000

export interface Purge {
  /** Who does it: the node's name. */
  readonly node: string
  /** What was removed, or has expired, before that is purged; milliseconds since the epoch. */
  readonly beforeMs: number
  /** Nothing is done if the last purge began less than this ago, on whatever node; ms. */
  readonly everyMs: number
}

const BEGIN = {
  name: 'begin-purge',
  text: `update tandem.purge_state set started_at = now(), started_by = $1
    where started_at <= now() - $2::float8 * interval '1 ms' returning started_at`,
}

/**
 * Removes old tombstones, expired bindings, and the notes of deleted subscribers and aliases, in short transactions.
 * @returns how many rows were removed; `undefined` if another node has done it lately
 * @throws TandemError, as {@link Database.query}
 */
export async function purge(db: Database, { node, beforeMs, everyMs }: Purge): Promise<number | undefined> {
  const isOurs = (await db.query(BEGIN, [node, everyMs])).length === 1
  if (!isOurs) return undefined
  return (await purgeBindings(db, beforeMs)) + (await purgeNotes(db, beforeMs))
}

/**
 * Removes tombstones made, and bindings expired, before `beforeMs` (since the epoch). Must leave those that are younger than
 * the longest registration: a write that lay in a spool must still find the tombstone, unless it has itself expired.
 * @returns how many rows were removed
 * @throws TandemError, as {@link Database.query}
 */
export async function purgeBindings(
  db: Database,
  beforeMs: number,
  ranges: readonly Slots[] = ALL_SLOTS,
): Promise<number> {
  let purged = 0
  for (const { first, last } of ranges) {
    for (let slot = first; slot <= last; slot += SLOTS) {
      const slots = `slot between ${slot} and ${Math.min(slot + SLOTS - 1, last)}`
      purged += await purgeTable(
        db,
        'binding',
        'slot, aor, key',
        `${slots} and ${IS_DEAD}`,
        beforeMs,
        'for update skip locked',
      )
    }
  }
  return purged
}

const IS_DEAD = 'case when deleted then changed_at else expires_at end < to_timestamp($1::float8 / 1000)'

async function purgeNotes(db: Database, beforeMs: number): Promise<number> {
  const isOld = 'removed_at < to_timestamp($1::float8 / 1000)'
  const subscribers = await purgeTable(db, 'subscriber_removed', 'domain, username', isOld, beforeMs)
  return subscribers + (await purgeTable(db, 'alias_removed', 'domain, username', isOld, beforeMs))
}

/** One statement, one transaction, for so many rows that nobody waits for it. */
async function purgeTable(
  db: Database,
  table: string,
  key: string,
  condition: string,
  beforeMs: number,
  lock = '',
): Promise<number> {
  const text = `with dead as (select ${key} from tandem.${table} where ${condition} limit ${BATCH} ${lock}),
      gone as (delete from tandem.${table} where (${key}) in (select ${key} from dead) returning 1)
    select count(*)::int as count from gone`
  let purged = 0
  for (;;) {
    const [{ count } = { count: 0 }] = await db.query<{ count: number }>(text, [beforeMs])
    purged += count
    if (count < BATCH) return purged
  }
}

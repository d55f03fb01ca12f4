import type { CopyRow } from './copy-row.ts'
import type { Database } from './database.ts'
import { type RevCursor, refreshPoint } from './rev-cursor.ts'
import { type Slots, slotCondition } from './slot-ranges.ts'
import { fromSql, toSql } from './wire-text.ts'

/** An address of record that stands for another one, in one step. Texts are wire text. */
export interface AliasRow {
  readonly domain: string
  /** User part, canonical. */
  readonly user: string
  /** Of the alias: its group looks it up. */
  readonly slot: number
  readonly targetDomain: string
  /** User part, canonical. */
  readonly targetUser: string
  /** Change number. */
  readonly rev: number
}

/** A change of an alias: the row as it is now, or that it is gone. */
export type AliasChange =
  | ({ readonly removed: false } & AliasRow)
  | ({ readonly removed: true } & Pick<AliasRow, 'domain' | 'user' | 'slot' | 'rev'>)

const READ = 'domain, username, slot, target_domain, target_username, rev'

function toAlias(column: unknown[]): AliasRow {
  return {
    domain: column[0] as string,
    user: fromSql(column[1] as string),
    slot: column[2] as number,
    targetDomain: column[3] as string,
    targetUser: fromSql(column[4] as string),
    rev: column[5] as number,
  }
}

/** In the order of {@link READ}. */
const aliasOf = (row: CopyRow): AliasRow => ({
  domain: row.text(),
  user: row.text(),
  slot: row.int4(),
  targetDomain: row.text(),
  targetUser: row.text(),
  rev: row.int8(),
})

/** Rows that are taken over in one go: half a millisecond's work. */
const BATCH_ROWS = 200

/**
 * All aliases of these slots, in one snapshot, in batches of `batchRows`, in no order. To go on with
 * {@link readAliasesSince}, take the cursor (`startCursor`) before this.
 * @throws TandemError, as {@link Database.query}
 */
export async function* streamAliases(
  db: Database,
  ranges: readonly Slots[],
  batchRows = BATCH_ROWS,
): AsyncGenerator<AliasRow[], void, void> {
  yield* db.copy(`select ${READ} from tandem.alias where ${slotCondition(ranges)}`, aliasOf, batchRows)
}

/**
 * What happened to aliases of these slots since the cursor's last look; and moves the cursor. In the order of change; a
 * change may come more than once.
 * @throws TandemError, as {@link Database.query}; the cursor then stays where it was
 */
export async function readAliasesSince(
  db: Database,
  cursor: RevCursor,
  ranges: readonly Slots[],
): Promise<AliasChange[]> {
  const slots = slotCondition(ranges)
  const point = await refreshPoint(db)
  const from = cursor.from(point)
  const text = `select ${READ}, false as removed from tandem.alias where rev > $1 and ${slots}
    union all
    select domain, username, slot, '', '', rev, true from tandem.alias_removed where rev > $1 and ${slots}
    order by rev`
  const rows = await db.queryArrays(text, [from])
  cursor.moveTo(point)
  return rows.map(toChange)
}

function toChange(column: unknown[]): AliasChange {
  const row = toAlias(column)
  if (column[6] !== true) return { removed: false, ...row }
  return { removed: true, domain: row.domain, user: row.user, slot: row.slot, rev: row.rev }
}

const FIND = {
  name: 'find-alias',
  text: `select ${READ} from tandem.alias where domain = $1 and username = $2`,
}

/** @throws TandemError, as {@link Database.query} */
export async function findAlias(db: Database, domain: string, user: string): Promise<AliasRow | undefined> {
  const [row] = await db.queryArrays(FIND, [toSql(domain), toSql(user)])
  return row && toAlias(row)
}

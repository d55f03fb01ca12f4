import type { CopyRow } from './copy-row.ts'
import type { Database } from './database.ts'
import { type RevCursor, refreshPoint } from './rev-cursor.ts'
import { type IdentityColumns, type Share, shareCondition } from './slot-ranges.ts'
import { fromSql, toSql } from './wire-text.ts'

/** A user who may register and call. Texts are wire text. */
export interface SubscriberRow {
  readonly domain: string
  /** User part, canonical. */
  readonly user: string
  readonly slot: number
  readonly enabled: boolean
  /** Lower-case hex of H(user:realm:password); null: the algorithm is refused. */
  readonly ha1Md5: string | null
  readonly ha1Sha256: string | null
  readonly ha1Sha512256: string | null
  /** Change number. */
  readonly rev: number
}

/** A change of a subscriber: the row as it is now, or that it is gone. */
export type SubscriberChange =
  | ({ readonly removed: false } & SubscriberRow)
  | {
      readonly removed: true
      readonly domain: string
      readonly user: string
      readonly slot: number
      readonly rev: number
    }

export type Ha1s = Pick<SubscriberRow, 'ha1Md5' | 'ha1Sha256' | 'ha1Sha512256'>

const IDENTITY: IdentityColumns = { user: 'username', aor: "username || '@' || domain" }

const READ = 'domain, username, slot, enabled, ha1_md5, ha1_sha256, ha1_sha512_256, rev'

function toSubscriber(column: unknown[]): SubscriberRow {
  return {
    domain: column[0] as string,
    user: fromSql(column[1] as string),
    slot: column[2] as number,
    enabled: column[3] as boolean,
    ha1Md5: column[4] as string | null,
    ha1Sha256: column[5] as string | null,
    ha1Sha512256: column[6] as string | null,
    rev: column[7] as number,
  }
}

/** In the order of {@link READ}. */
const subscriberOf = (row: CopyRow): SubscriberRow => ({
  domain: row.text(),
  user: row.text(),
  slot: row.int4(),
  enabled: row.boolean(),
  ha1Md5: row.textOrNull(),
  ha1Sha256: row.textOrNull(),
  ha1Sha512256: row.textOrNull(),
  rev: row.int8(),
})

/** Rows that are taken over in one go: half a millisecond's work. */
const BATCH_ROWS = 200

/**
 * All subscribers of these shares, in one snapshot, in batches of `batchRows`, in no order; between two batches the event
 * loop turns. To go on with {@link streamSubscribersSince}, take the cursor (`startCursor`) before this.
 * @throws TandemError, as {@link Database.query}
 */
export async function* streamSubscribers(
  db: Database,
  shares: readonly Share[],
  batchRows = BATCH_ROWS,
): AsyncGenerator<SubscriberRow[], void, void> {
  const select = `select ${READ} from tandem.subscriber where ${shareCondition(shares, IDENTITY)}`
  yield* db.copy(select, subscriberOf, batchRows)
}

/**
 * What happened to subscribers of these shares since the cursor's last look, in the order of change, in batches; and at
 * the end moves the cursor. A change may come more than once.
 * @throws TandemError, as {@link Database.query}; the cursor then stays where it was
 */
export async function* streamSubscribersSince(
  db: Database,
  cursor: RevCursor,
  shares: readonly Share[],
  batchRows = BATCH_ROWS,
): AsyncGenerator<SubscriberChange[], void, void> {
  const point = await refreshPoint(db)
  const isNew = `rev > ${cursor.from(point)} and ${shareCondition(shares, IDENTITY)}`
  const select = `select ${READ}, false as removed from tandem.subscriber where ${isNew}
    union all
    select domain, username, slot, false, null, null, null, rev, true from tandem.subscriber_removed where ${isNew}
    order by rev`
  yield* db.copy(select, changeOf, batchRows)
  cursor.moveTo(point)
}

function changeOf(columns: CopyRow): SubscriberChange {
  const row = subscriberOf(columns)
  if (!columns.boolean()) return { removed: false, ...row }
  return { removed: true, domain: row.domain, user: row.user, slot: row.slot, rev: row.rev }
}

/** As {@link streamSubscribersSince}, all at once. */
export async function readSubscribersSince(
  db: Database,
  cursor: RevCursor,
  shares: readonly Share[],
): Promise<SubscriberChange[]> {
  const all: SubscriberChange[] = []
  for await (const changes of streamSubscribersSince(db, cursor, shares)) all.push(...changes)
  return all
}

const FIND = {
  name: 'find-subscriber',
  text: `select ${READ} from tandem.subscriber where domain = $1 and username = $2`,
}

/** @throws TandemError, as {@link Database.query} */
export async function findSubscriber(
  db: Database,
  domain: string,
  user: string,
): Promise<SubscriberRow | undefined> {
  const [row] = await db.queryArrays(FIND, [toSql(domain), toSql(user)])
  return row && toSubscriber(row)
}

const FIND_SEVERAL = {
  name: 'find-subscribers',
  text: `select ${READ} from unnest($1::text[], $2::text[]) as u (domain, username)
    join tandem.subscriber using (domain, username)`,
}

/** Those of them that exist, in no order. @throws TandemError, as {@link Database.query} */
export async function findSubscribers(
  db: Database,
  names: readonly Pick<SubscriberRow, 'domain' | 'user'>[],
): Promise<SubscriberRow[]> {
  const columns = [names.map(({ domain }) => toSql(domain)), names.map(({ user }) => toSql(user))]
  return (await db.queryArrays(FIND_SEVERAL, columns)).map(toSubscriber)
}

const ADD = {
  name: 'add-subscriber',
  text: `insert into tandem.subscriber (domain, username, ha1_md5, ha1_sha256, ha1_sha512_256)
    values ($1, $2, $3, $4, $5)
    on conflict (domain, username) do update set ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256,
      ha1_sha512_256 = excluded.ha1_sha512_256, enabled = true
    returning ${READ}`,
}

/**
 * Adds an enabled subscriber, or gives an existing one these HA1s. The caller computes them, over the domain's realm; no password
 * comes this way.
 * @throws pg.DatabaseError 23503 when the domain is not served here; TandemError, as {@link Database.query}
 */
export async function addSubscriber(
  db: Database,
  domain: string,
  user: string,
  { ha1Md5, ha1Sha256, ha1Sha512256 }: Ha1s,
): Promise<SubscriberRow> {
  const [row] = await db.queryArrays(ADD, [toSql(domain), toSql(user), ha1Md5, ha1Sha256, ha1Sha512256])
  if (!row) throw new Error('an upsert returned no row')
  return toSubscriber(row)
}

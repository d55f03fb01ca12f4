import type { CopyRow } from './copy-row.ts'
import type { Database } from './database.ts'
import { sqlState } from './database-error.ts'
import { type RevCursor, refreshPoint } from './rev-cursor.ts'
import { type IdentityColumns, type Share, shareCondition } from './slot-ranges.ts'
import { fromSql, fromSqlOrNull, toSql, toSqlOrNull } from './wire-text.ts'

/** One registered contact. Texts are wire text. */
export interface BindingRow {
  readonly slot: number
  /** user@domain, canonical. */
  readonly aor: string
  /**
   * What makes the contact the same one: instance and reg-id, or the contact URI's comparison key. With `aor` at
   * most 2,600 bytes, the bound of PostgreSQL's primary key.
   */
  readonly key: string
  /** URI. */
  readonly contact: string
  /** Contact parameters as received. */
  readonly params: string
  /** Thousandths, 0…1000. */
  readonly q: number
  /** Values of Path, the first to be visited first. */
  readonly path: readonly string[]
  readonly callId: string
  readonly cseq: number
  readonly instance: string | null
  readonly regId: number | null
  readonly userAgent: string | null
  readonly received: string | null
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  /**
   * When the member made the change, milliseconds since the epoch. Must be later than the `changedAt` of the row it
   * replaces in that member's memory, even where the clock says otherwise.
   */
  readonly changedAt: number
  /** A tombstone: the contact was removed. */
  readonly deleted: boolean
  /** Change number that PostgreSQL gave the row; ignored when writing. */
  readonly rev: number
}

export interface WriteResult {
  /** Change number of all rows written now; 0 if none was. */
  readonly rev: number
  /** What PostgreSQL has in place of rows that were older than it. */
  readonly newer: readonly BindingRow[]
  /** Rows that PostgreSQL cannot hold, with the reason; the others were written. */
  readonly failed: readonly { readonly row: BindingRow; readonly error: unknown }[]
}

/**
 * `key` of the tombstone that says that all contacts of an AOR were removed, with that REGISTER's Call-ID and CSeq: also those
 * of which the member that did it had not heard.
 */
export const ALL_CONTACTS = '*'

/**
 * How long a removal goes before an older REGISTER of its Call-ID, ms: no longer than one can be on its way (RFC 3261 timer F).
 * Beyond that a phone that counts anew may come back.
 */
export const REMOVAL_HOLDS_MS = 32_000

const IDENTITY: IdentityColumns = { user: "split_part(aor, '@', 1)", aor: 'aor' }

const READ = `slot, aor, key, contact, params, q, array_to_string(path, E'\\n'), call_id, cseq, instance, reg_id,
  user_agent, received, (date_part('epoch', expires_at) * 1000)::bigint,
  (date_part('epoch', changed_at) * 1000)::bigint, deleted, rev`

/**
 * A higher CSeq of the same Call-ID is newer, whatever the clocks say; otherwise the later change is, except that a
 * live binding, or one removed a moment ago, is not replaced by a lower CSeq of its own Call-ID (RFC 3261 §10.3 step 7).
 * One change number serves the whole batch: the subquery is evaluated once.
 */
const WRITE = {
  name: 'write-bindings',
  text: `with written as (
  insert into tandem.binding as b (slot, aor, key, contact, params, q, path, call_id, cseq, instance, reg_id,
    user_agent, received, expires_at, changed_at, deleted, rev)
  select slot, aor, key, contact, params, q, string_to_array(path, E'\\n'), call_id, cseq, instance, reg_id,
    user_agent, received, to_timestamp(expires_ms / 1000), to_timestamp(changed_ms / 1000), deleted,
    (select tandem.next_rev())
  from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
    $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::float8[], $15::float8[], $16::bool[])
    as u (slot, aor, key, contact, params, q, path, call_id, cseq, instance, reg_id, user_agent, received,
      expires_ms, changed_ms, deleted)
  on conflict (slot, aor, key) do update set
    contact = excluded.contact, params = excluded.params, q = excluded.q, path = excluded.path,
    call_id = excluded.call_id, cseq = excluded.cseq, instance = excluded.instance, reg_id = excluded.reg_id,
    user_agent = excluded.user_agent, received = excluded.received, expires_at = excluded.expires_at,
    changed_at = excluded.changed_at, deleted = excluded.deleted, rev = excluded.rev
  where b.call_id = excluded.call_id and excluded.cseq > b.cseq
    or excluded.changed_at >= b.changed_at and not (b.call_id = excluded.call_id and excluded.cseq < b.cseq
      and (b.expires_at > excluded.changed_at and not b.deleted
        or b.changed_at > excluded.changed_at - interval '${REMOVAL_HOLDS_MS} ms' and b.deleted))
  returning rev)
select count(*)::int as count, coalesce(max(rev), 0) as rev from written`,
}

const STORED = {
  name: 'stored-bindings',
  text: `select ${READ} from tandem.binding
  join unnest($1::int[], $2::text[], $3::text[]) as u (slot, aor, key) using (slot, aor, key) where rev <> $4`,
}

/** Removes what is older than the removal of all contacts of its AOR. */
const REMOVE_ALL = {
  name: 'remove-all-contacts',
  text: `update tandem.binding b set deleted = true, call_id = w.call_id, cseq = w.cseq, changed_at = w.changed_at,
    expires_at = w.changed_at, rev = (select tandem.next_rev())
  from unnest($1::int[], $2::text[]) as u (slot, aor) join tandem.binding w using (slot, aor)
  where w.key = '${ALL_CONTACTS}' and b.slot = w.slot and b.aor = w.aor and b.key <> w.key and not b.deleted
    and case when b.call_id = w.call_id then b.cseq < w.cseq else b.changed_at < w.changed_at end`,
}

/**
 * Writes rows in one statement, which is one transaction. Give batches of about 250. Of several rows with one key the
 * last counts. An older write never replaces a newer one: what is newer comes back, to be taken into memory.
 * `late`: rows that come out of a spool, so that all contacts of their AOR may have been removed since.
 * @throws TandemError DATABASE_UNREACHABLE, DATABASE_READ_ONLY: whether the rows were written may be unknown; writing
 *   them again is harmless
 */
export async function writeBindings(
  db: Database,
  rows: readonly BindingRow[],
  { late = false } = {},
): Promise<WriteResult> {
  const result = await writeUnique(db, lastOfEachKey(rows))
  // After the rows: whatever is removed before that is seen here, and who removes after that sees the rows.
  const removed = late ? rows : rows.filter(({ key }) => key === ALL_CONTACTS)
  if (removed.length > 0) await removeAll(db, removed)
  return result
}

async function removeAll(db: Database, rows: readonly BindingRow[]): Promise<void> {
  const slots = new Map(rows.map(({ aor, slot }) => [aor, slot]))
  await db.query(REMOVE_ALL, [[...slots.values()], [...slots.keys()].map(toSql)])
}

async function writeUnique(db: Database, rows: readonly BindingRow[]): Promise<WriteResult> {
  if (rows.length === 0) return { rev: 0, newer: [], failed: [] }
  try {
    return await writeBatch(db, rows)
  } catch (error) {
    if (!isAboutData(error)) throw error
    if (rows.length === 1) return { rev: 0, newer: [], failed: rows.map((row) => ({ row, error })) }
    return await writeHalves(db, rows)
  }
}

async function writeBatch(db: Database, rows: readonly BindingRow[]): Promise<WriteResult> {
  const columns = toColumns(rows)
  const [written] = await db.query<{ count: number; rev: number }>(WRITE, columns)
  const { count = 0, rev = 0 } = written ?? {}
  if (count === rows.length) return { rev, newer: [], failed: [] }
  const newer = await db.queryArrays(STORED, [...columns.slice(0, 3), rev])
  return { rev, newer: newer.map(toBinding), failed: [] }
}

/** One row that PostgreSQL cannot hold must not cost the others their place. */
async function writeHalves(db: Database, rows: readonly BindingRow[]): Promise<WriteResult> {
  const middle = rows.length >> 1
  const a = await writeUnique(db, rows.slice(0, middle))
  const b = await writeUnique(db, rows.slice(middle))
  return {
    rev: Math.max(a.rev, b.rev),
    newer: [...a.newer, ...b.newer],
    failed: [...a.failed, ...b.failed],
  }
}

/** SQLSTATE classes: 22 data exception, 23 constraint, 54 limit exceeded. */
const isAboutData = (error: unknown) => /^(22|23|54)/.test(sqlState(error) ?? '')

function lastOfEachKey(rows: readonly BindingRow[]): BindingRow[] {
  const last = new Map<string, BindingRow>()
  for (const row of rows) last.set(`${row.aor}\n${row.key}`, row)
  return [...last.values()]
}

function toColumns(rows: readonly BindingRow[]): unknown[][] {
  return [
    rows.map((row) => row.slot),
    rows.map((row) => toSql(row.aor)),
    rows.map((row) => toSql(row.key)),
    rows.map((row) => toSql(row.contact)),
    rows.map((row) => toSql(row.params)),
    rows.map((row) => row.q),
    // A header value has no line feed once it is unfolded, and unnest would flatten an array of arrays.
    rows.map((row) => toSql(row.path.join('\n'))),
    rows.map((row) => toSql(row.callId)),
    rows.map((row) => row.cseq),
    rows.map((row) => toSqlOrNull(row.instance)),
    rows.map((row) => row.regId),
    rows.map((row) => toSqlOrNull(row.userAgent)),
    rows.map((row) => toSqlOrNull(row.received)),
    rows.map((row) => row.expiresAt),
    rows.map((row) => row.changedAt),
    rows.map((row) => row.deleted),
  ]
}

function toBinding(column: unknown[]): BindingRow {
  const path = column[6] as string
  return {
    slot: column[0] as number,
    aor: fromSql(column[1] as string),
    key: fromSql(column[2] as string),
    contact: fromSql(column[3] as string),
    params: fromSql(column[4] as string),
    q: column[5] as number,
    path: path === '' ? [] : fromSql(path).split('\n'),
    callId: fromSql(column[7] as string),
    cseq: column[8] as number,
    instance: fromSqlOrNull(column[9] as string | null),
    regId: column[10] as number | null,
    userAgent: fromSqlOrNull(column[11] as string | null),
    received: fromSqlOrNull(column[12] as string | null),
    expiresAt: column[13] as number,
    changedAt: column[14] as number,
    deleted: column[15] as boolean,
    rev: column[16] as number,
  }
}

/** The columns of a row as {@link bindingOf} reads them. */
const COPY = `slot, aor, key, contact, params, q, path, call_id, cseq, instance, reg_id, user_agent, received,
  expires_at, changed_at, deleted, rev`

/** In the order of the columns. */
const bindingOf = (row: CopyRow): BindingRow => ({
  slot: row.int4(),
  aor: row.text(),
  key: row.text(),
  contact: row.text(),
  params: row.text(),
  q: row.int2(),
  path: row.texts(),
  callId: row.text(),
  cseq: row.int8(),
  instance: row.textOrNull(),
  regId: row.int8OrNull(),
  userAgent: row.textOrNull(),
  received: row.textOrNull(),
  expiresAt: row.milliseconds(),
  changedAt: row.milliseconds(),
  deleted: row.boolean(),
  rev: row.int8(),
})

/** Rows that are taken over in one go: half a millisecond's work. */
const BATCH_ROWS = 100

/**
 * All live bindings of these shares, in one snapshot, in batches of `batchRows`, in no order; between two batches the
 * event loop turns. To go on with {@link streamBindingsSince}, take the cursor (`startCursor`) before this.
 * @throws TandemError, as {@link Database.query}
 */
export async function* streamBindings(
  db: Database,
  shares: readonly Share[],
  batchRows = BATCH_ROWS,
): AsyncGenerator<BindingRow[], void, void> {
  const select = `select ${COPY} from tandem.binding
    where ${shareCondition(shares, IDENTITY)} and not deleted and expires_at > now()`
  yield* db.copy(select, bindingOf, batchRows)
}

/**
 * Rows of these shares that changed since the cursor's last look, tombstones and expired ones included, in batches, in no order;
 * and at the end moves the cursor. A row may come more than once: the one with the highest `rev` is the truth. See
 * {@link RevCursor} for why none is missed.
 * @throws TandemError, as {@link Database.query}; the cursor then stays where it was
 */
export async function* streamBindingsSince(
  db: Database,
  cursor: RevCursor,
  shares: readonly Share[],
  batchRows = BATCH_ROWS,
): AsyncGenerator<BindingRow[], void, void> {
  const point = await refreshPoint(db)
  const from = cursor.from(point)
  const select = `select ${COPY} from tandem.binding
    where ${shareCondition(shares, IDENTITY)} and rev > ${from}`
  yield* db.copy(select, bindingOf, batchRows)
  cursor.moveTo(point)
}

/** As {@link streamBindingsSince}, all at once. */
export async function readBindingsSince(
  db: Database,
  cursor: RevCursor,
  shares: readonly Share[],
): Promise<BindingRow[]> {
  const all: BindingRow[] = []
  for await (const rows of streamBindingsSince(db, cursor, shares)) for (const row of rows) all.push(row)
  return all
}

const OF_AOR = {
  name: 'bindings-of-aor',
  text: `select ${READ} from tandem.binding where slot = $1 and aor = $2`,
}

/**
 * All rows of one AOR, tombstones and expired ones included.
 * @throws TandemError, as {@link Database.query}
 */
export async function findBindings(db: Database, slot: number, aor: string): Promise<BindingRow[]> {
  return (await db.queryArrays(OF_AOR, [slot, toSql(aor)])).map(toBinding)
}

const OF_AORS = {
  name: 'bindings-of-aors',
  text: `select ${READ} from unnest($1::int[], $2::text[]) as u (slot, aor) join tandem.binding using (slot, aor)`,
}

/**
 * All rows of several AORs, tombstones and expired ones included, in no order.
 * @throws TandemError, as {@link Database.query}
 */
export async function findBindingsOf(
  db: Database,
  aors: readonly Pick<BindingRow, 'slot' | 'aor'>[],
): Promise<BindingRow[]> {
  const columns = [aors.map(({ slot }) => slot), aors.map(({ aor }) => toSql(aor))]
  return (await db.queryArrays(OF_AORS, columns)).map(toBinding)
}

import type { Database } from './database.ts'
import { sqlState } from './database-error.ts'
import type { Ha1s } from './subscriber-store.ts'
import { fromSql, toSql } from './wire-text.ts'

/** A domain served here. Texts are wire text. */
export interface ServedDomain {
  /** In lower case. */
  readonly name: string
  readonly realm: string
  readonly hashBy: 'user' | 'user@domain'
}

/** @throws TandemError, as {@link Database.query} */
export async function listDomains(db: Database): Promise<ServedDomain[]> {
  const rows = await db.query<ServedDomain>(
    'select name, realm, hash_by as "hashBy" from tandem.domain order by name',
  )
  return rows.map(({ name, realm, hashBy }) => ({ name: fromSql(name), realm: fromSql(realm), hashBy }))
}

/** What stands for an address of record, as `user@domain`. @throws TandemError, as {@link Database.query} */
export async function aliasesOf(db: Database, domain: string, user: string): Promise<string[]> {
  const rows = await db.query<{ aor: string }>(
    `select username || '@' || domain as aor from tandem.alias
     where target_domain = $1 and target_username = $2 order by aor`,
    [toSql(domain), toSql(user)],
  )
  return rows.map(({ aor }) => fromSql(aor))
}

/** What time it is for the database, whose clock dates heartbeats: milliseconds since the epoch. @throws TandemError, as {@link Database.query} */
export async function databaseNow(db: Database): Promise<number> {
  const [row] = await db.query<{ now: number }>(`select (date_part('epoch', now()) * 1000)::float8 as now`)
  if (!row) throw new Error('now() is one row')
  return row.now
}

const CREATE = `insert into tandem.subscriber (domain, username, ha1_md5, ha1_sha256, ha1_sha512_256)
  values ($1, $2, $3, $4, $5) on conflict (domain, username) do nothing returning slot`

/** @returns the slot; undefined when there is such a subscriber already. @throws as `addSubscriber` */
export async function createSubscriber(
  db: Database,
  domain: string,
  user: string,
  ha1s: Ha1s,
): Promise<number | undefined> {
  const [row] = await db.query<{ slot: number }>(CREATE, [toSql(domain), toSql(user), ...toColumns(ha1s)])
  return row?.slot
}

const SET_HA1S = `update tandem.subscriber set ha1_md5 = $3, ha1_sha256 = $4, ha1_sha512_256 = $5
  where domain = $1 and username = $2 returning 1`

/** @returns whether there is such a subscriber. @throws TandemError, as {@link Database.query} */
export async function setHa1s(db: Database, domain: string, user: string, ha1s: Ha1s): Promise<boolean> {
  return (await db.query(SET_HA1S, [toSql(domain), toSql(user), ...toColumns(ha1s)])).length === 1
}

const SET_ENABLED =
  'update tandem.subscriber set enabled = $3 where domain = $1 and username = $2 returning 1'

/** @returns whether there is such a subscriber. @throws TandemError, as {@link Database.query} */
export async function setEnabled(
  db: Database,
  domain: string,
  user: string,
  enabled: boolean,
): Promise<boolean> {
  return (await db.query(SET_ENABLED, [toSql(domain), toSql(user), enabled])).length === 1
}

const toColumns = ({ ha1Md5, ha1Sha256, ha1Sha512256 }: Ha1s) => [ha1Md5, ha1Sha256, ha1Sha512256]

/** A subscriber as it shall be. Texts are wire text. */
export interface ImportedSubscriber extends Ha1s {
  readonly domain: string
  /** Canonical. */
  readonly user: string
  readonly enabled: boolean
}

export interface ImportMode {
  /** Whether `enabled` counts for subscribers that exist; else they stay as they are. */
  readonly setsEnabled: boolean
}

export interface ImportResult<Row> {
  /** Rows that PostgreSQL cannot hold, with the reason; the others were written. */
  readonly failed: readonly { readonly row: Row; readonly error: unknown }[]
}

/** Rows that are like that already are left alone: nodes need not read them again. */
const UPSERT = {
  name: 'import-subscribers',
  text: `insert into tandem.subscriber as s (domain, username, ha1_md5, ha1_sha256, ha1_sha512_256, enabled)
  select domain, username, ha1_md5, ha1_sha256, ha1_sha512_256, enabled
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[])
    as u (domain, username, ha1_md5, ha1_sha256, ha1_sha512_256, enabled)
  on conflict (domain, username) do update set ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256,
    ha1_sha512_256 = excluded.ha1_sha512_256, enabled = case when $7 then excluded.enabled else s.enabled end
  where (s.ha1_md5, s.ha1_sha256, s.ha1_sha512_256, s.enabled)
    is distinct from (excluded.ha1_md5, excluded.ha1_sha256, excluded.ha1_sha512_256,
      case when $7 then excluded.enabled else s.enabled end)`,
}

/**
 * Adds or changes subscribers in one statement, which is one transaction. Of several rows with one address the last counts.
 * Give batches of about 1,000.
 * @throws TandemError, as {@link Database.query}: whether the rows were written may be unknown; writing them again is harmless
 */
export async function importSubscribers<Row extends ImportedSubscriber>(
  db: Database,
  rows: readonly Row[],
  mode: ImportMode,
): Promise<ImportResult<Row>> {
  const last = new Map(rows.map((row) => [`${row.user}@${row.domain}`, row]))
  return importUnique(db, [...last.values()], mode)
}

async function importUnique<Row extends ImportedSubscriber>(
  db: Database,
  rows: readonly Row[],
  mode: ImportMode,
): Promise<ImportResult<Row>> {
  if (rows.length === 0) return { failed: [] }
  try {
    await db.query(UPSERT, [
      rows.map(({ domain }) => toSql(domain)),
      rows.map(({ user }) => toSql(user)),
      rows.map(({ ha1Md5 }) => ha1Md5),
      rows.map(({ ha1Sha256 }) => ha1Sha256),
      rows.map(({ ha1Sha512256 }) => ha1Sha512256),
      rows.map(({ enabled }) => enabled),
      mode.setsEnabled,
    ])
    return { failed: [] }
  } catch (error) {
    if (!isAboutData(error)) throw error
    const [only] = rows
    if (only && rows.length === 1) return { failed: [{ row: only, error }] }
    // One row that PostgreSQL cannot hold must not cost the others their place.
    const middle = rows.length >> 1
    const halves = [
      await importUnique(db, rows.slice(0, middle), mode),
      await importUnique(db, rows.slice(middle), mode),
    ]
    return { failed: halves.flatMap(({ failed }) => failed) }
  }
}

/** SQLSTATE classes: 22 data exception, 23 constraint, 54 limit exceeded; P0001 what our triggers refuse. */
const isAboutData = (error: unknown) => /^(22|23|54|P0001$)/.test(sqlState(error) ?? '')

import type { Database } from './database.ts'
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

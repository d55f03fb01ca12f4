import pg from 'pg'
import { TandemError } from '../src/ops/errors.ts'
import type { Database, Session } from './database.ts'

/** What to tell of an edit, and whether to make it. */
export interface EditOptions {
  /** Why: kept with the version. */
  readonly comment?: string | undefined
  /** Tries the edit, with all its checks, and undoes it. */
  readonly dryRun?: boolean | undefined
}

/** What an edit did, or with `dryRun` would do. */
export interface EditResult {
  /** Version in force after it; the one before it when there was nothing to change. */
  readonly version: number
  /** Empty when there was nothing to change. */
  readonly changes: readonly MapChange[]
  readonly dryRun: boolean
}

/** One difference between two versions. */
export interface MapChange {
  readonly what: 'slots' | 'pin' | 'prefix' | 'group' | 'member' | 'domain'
  /** `0-2047`, `alice`, `+4930*`, or the name of the group, node or domain. */
  readonly item: string
  /** slots, pin, prefix: the group; null: none, that is, for a pin, the slots decide. Otherwise what differs, in words; null: not there. */
  readonly before: string | null
  readonly after: string | null
  /** How many subscribers change owner by it; null where that is not the question. */
  readonly subscribers: number | null
}

export interface NewGroup {
  readonly name: string
  /** Name of the node, and where it is: numeric HOST:PORT or [IPv6]:PORT. */
  readonly master: { readonly node: string; readonly address: string }
  readonly slave?: { readonly node: string; readonly address: string } | undefined
}

export interface GroupLoad {
  readonly group: string
  readonly state: 'active' | 'draining'
  readonly master: string | null
  readonly members: number
  readonly slots: number
  readonly slotsPercent: number
  readonly pins: number
  /** With pins counted in. */
  readonly subscribers: number
  /** null while there are no subscribers. */
  readonly subscribersPercent: number | null
  /** Live ones. */
  readonly bindings: number
}

export interface MapVersionRow {
  readonly version: number
  /** Milliseconds since the epoch. */
  readonly changedAt: number
  /** Database user. */
  readonly changedBy: string
  readonly comment: string | null
  /** What it changed, in words; null for versions made before these were kept. */
  readonly changes: string | null
}

export interface Owner {
  /** What decides: the canonical user, or `user@domain`. */
  readonly key: string
  readonly slot: number
  /** null while there is no map. */
  readonly group: string | null
  /** null while there is no map. */
  readonly why: 'pin' | 'prefix' | 'range' | null
  /** The pin (`alice`), the prefix (`+4930*`) or the range (`0-2047`). */
  readonly rule: string | null
}

/**
 * All edits here make one version in one transaction.
 * @throws TandemError MAP_REFUSED, with the database's text and hint, and the map as it was; and as {@link Database.query}
 */
export function assignSlots(
  db: Database,
  { first, last, group }: { readonly first: number; readonly last: number; readonly group: string },
  options?: EditOptions,
): Promise<EditResult> {
  return edit(db, 'tandem.assign($1, $2, $3, $4)', [first, last, group], options)
}

/** Divides a range in two, of which the second begins with `slot`; no user moves. @throws as {@link assignSlots} */
export function splitRange(db: Database, slot: number, options?: EditOptions): Promise<EditResult> {
  return edit(db, 'tandem.split($1, $2)', [slot], options)
}

/** `userOrPrefix`: `alice`, `alice@example.com`, or digits that end in an asterisk: `+4930*`. @throws as {@link assignSlots} */
export function pin(
  db: Database,
  userOrPrefix: string,
  group: string,
  options?: EditOptions,
): Promise<EditResult> {
  return edit(db, 'tandem.pin($1, $2, $3)', [userOrPrefix, group], options)
}

/** @throws as {@link assignSlots}; MAP_REFUSED also when there is no such pin */
export function unpin(db: Database, userOrPrefix: string, options?: EditOptions): Promise<EditResult> {
  return edit(db, 'tandem.unpin($1, $2)', [userOrPrefix], options)
}

/** The new group owns nothing yet. @throws as {@link assignSlots} */
export function addGroup(
  db: Database,
  { name, master, slave }: NewGroup,
  options?: EditOptions,
): Promise<EditResult> {
  const values = [name, master.node, master.address, slave?.node ?? null, slave?.address ?? null]
  return edit(db, 'tandem.add_group($1, $2, $3, $4, $5, $6)', values, options)
}

/** Moves slots and pins of a group in equal parts to others: those named, or all active ones. @throws as {@link assignSlots} */
export function drainGroup(
  db: Database,
  name: string,
  into: readonly string[] | undefined,
  options?: EditOptions,
): Promise<EditResult> {
  return edit(db, 'tandem.drain_group($1, $2, $3)', [name, into ?? null], options)
}

/** Removes a group that owns nothing, with its members. @throws as {@link assignSlots} */
export function removeGroup(db: Database, name: string, options?: EditOptions): Promise<EditResult> {
  return edit(db, 'tandem.remove_group($1, $2)', [name], options)
}

/** Whether new requests for the users of a domain are redirected to their group. @throws as {@link assignSlots} */
export function redirectDomain(
  db: Database,
  name: string,
  redirect: boolean,
  options?: EditOptions,
): Promise<EditResult> {
  return edit(db, 'tandem.redirect_domain($1, $2, $3)', [name, redirect], options)
}

/** Brings back the map of a version, as a new version. @throws as {@link assignSlots} */
export function rollbackTo(db: Database, version: number, options?: EditOptions): Promise<EditResult> {
  return edit(db, 'tandem.rollback_to($1, $2)', [version], options)
}

/** Several runs of slots as one version: what a plan comes to. @throws as {@link assignSlots} */
export function assignAll(
  db: Database,
  runs: readonly { readonly first: number; readonly last: number; readonly group: string }[],
  options: EditOptions = {},
): Promise<EditResult> {
  return editing(db, options, async (session) => {
    for (const { first, last, group } of runs) {
      await session.query('select tandem.assign($1, $2, $3, $4)', [
        first,
        last,
        group,
        options.comment ?? null,
      ])
    }
  })
}

function edit(db: Database, call: string, values: unknown[], options: EditOptions = {}): Promise<EditResult> {
  return editing(db, options, async (session) => {
    await session.query(`select ${call}`, [...values, options.comment ?? null])
  })
}

class Undo extends Error {
  readonly result: EditResult
  constructor(result: EditResult) {
    super('dry run')
    this.result = result
  }
}

async function editing(
  db: Database,
  { dryRun = false }: EditOptions,
  work: (session: Session) => Promise<void>,
): Promise<EditResult> {
  try {
    return await db.transaction(async (session) => {
      await session.query('select tandem.edit_map(null)')
      const before = await versionNow(session)
      await work(session)
      // The checks of the commit, now: what is refused is refused in a dry run too, and the new version is there to compare.
      await session.query('set constraints all immediate')
      const version = await versionNow(session)
      const changes = version === before ? [] : await readDiff(session, before, version)
      const result = { version, changes, dryRun }
      if (dryRun) throw new Undo(result)
      return result
    })
  } catch (error) {
    if (error instanceof Undo) return error.result
    throw refusal(error)
  }
}

async function versionNow(session: Session): Promise<number> {
  const [row] = await session.query<{ version: number }>('select tandem.map_version_now() as version')
  return row?.version ?? 0
}

type Reader = Pick<Session, 'query'>

const readDiff = (reader: Reader, from: number, to: number | null): Promise<MapChange[]> =>
  reader.query<MapChange>('select what, item, before, after, subscribers from tandem.diff($1, $2)', [
    from,
    to,
  ])

/**
 * What differs between two versions; without the second, from the first to the map as it is. Version 0 is the empty map. Counts
 * subscribers, so give `db` a long `statementTimeoutMs`.
 * @throws TandemError MAP_REFUSED when there is no such version; and as {@link Database.query}
 */
export function diffVersions(db: Database, from: number, to?: number): Promise<MapChange[]> {
  return readDiff(db, from, to ?? null).catch((error: unknown) => {
    throw refusal(error)
  })
}

/** What each group has. Counts rows: give `db` a long `statementTimeoutMs`. @throws TandemError, as {@link Database.query} */
export function overview(db: Database): Promise<GroupLoad[]> {
  return db.query<GroupLoad>(
    `select group_name as "group", state, master, members::int, slots::int, slots_percent::float8 as "slotsPercent", pins::int,
      subscribers, subscribers_percent::float8 as "subscribersPercent", bindings
     from tandem.overview`,
  )
}

/** Versions, the newest first. @throws TandemError, as {@link Database.query} */
export function history(db: Database, limit = 20): Promise<MapVersionRow[]> {
  return db.query<MapVersionRow>(
    `select version, (date_part('epoch', changed_at) * 1000)::bigint as "changedAt", changed_by as "changedBy", comment, changes
     from tandem.map_history order by version desc limit $1`,
    [limit],
  )
}

/** `aor` as people type it: `alice`, `alice@example.com`, `sip:alice@example.com`. @throws TandemError, as {@link Database.query} */
export async function ownerOf(db: Database, aor: string): Promise<Owner> {
  const [row] = await db.query<Owner>(
    'select key, slot, group_name as "group", why, rule from tandem.owner_of($1)',
    [aor],
  )
  if (!row) throw new Error('tandem.owner_of() returned nothing')
  return row
}

/** SQLSTATEs with which the database says no to an edit: data (22), constraints (23), and our functions' own. */
const isRefusal = (state: string | undefined) => /^(22|23|P0001$|P0002$)/.test(state ?? '')

/** What a refused edit is to its operator; any other error is itself. */
export function refusal(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError && isRefusal(error.code))) return error
  const text = [error.message, error.detail].filter(Boolean).join('\n')
  return new TandemError('MAP_REFUSED', text, { hint: error.hint, cause: error })
}

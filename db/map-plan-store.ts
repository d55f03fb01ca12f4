import { TandemError } from '../src/ops/errors.ts'
import { SLOTS } from '../src/partition/slot.ts'
import type { Database } from './database.ts'
import { refusal } from './map-admin.ts'

/** How much there is of something, by what decides who owns it. */
export interface Counts {
  /** Slot → those whom no pin takes elsewhere. */
  readonly bySlot: Float64Array
  /** Group → those whom a pin gives it; groups without any are left out. */
  readonly pinned: ReadonlyMap<string, number>
}

/** What there is to distribute, in one snapshot of the database. */
export interface MapLoad {
  /** Version of the map that `pinned` follows. */
  readonly version: number
  readonly subscribers: Counts
  readonly bindings: Counts
}

const SUBSCRIBERS = 'select slot, count(*)::int as count from tandem.subscriber group by slot'
const BINDINGS = `select slot, count(*)::int as count from tandem.binding
  where not deleted and expires_at > now() group by slot`
const PINNED_SUBSCRIBERS = `select slot, group_name as "group", count(*)::int as count from tandem.pinned_now()
  group by slot, group_name`
const PINNED_BINDINGS = `select p.slot, p.group_name as "group", count(*)::int as count
  from tandem.pinned_now() p join tandem.binding b on b.slot = p.slot and b.aor = p.username || '@' || p.domain
  where not b.deleted and b.expires_at > now() group by p.slot, p.group_name`

/** Counts rows: give `db` a long `statementTimeoutMs`. @throws TandemError, as {@link Database.query} */
export function readMapLoad(db: Database): Promise<MapLoad> {
  return db.transaction(async (session) => {
    const count = async (all: string, pinned: string): Promise<Counts> =>
      toCounts(await session.query<SlotCount>(all), await session.query<PinnedCount>(pinned))
    const [row] = await session.query<{ version: number }>('select version from tandem.map_state')
    return {
      version: row?.version ?? 0,
      subscribers: await count(SUBSCRIBERS, PINNED_SUBSCRIBERS),
      bindings: await count(BINDINGS, PINNED_BINDINGS),
    }
  }, 'isolation level repeatable read, read only')
}

interface SlotCount {
  readonly slot: number
  readonly count: number
}
type PinnedCount = SlotCount & { readonly group: string }

function toCounts(all: readonly SlotCount[], pinnedRows: readonly PinnedCount[]): Counts {
  const bySlot = new Float64Array(SLOTS)
  const pinned = new Map<string, number>()
  for (const { slot, count } of all) bySlot[slot] = count
  for (const { slot, group, count } of pinnedRows) {
    bySlot[slot] = (bySlot[slot] ?? 0) - count
    pinned.set(group, (pinned.get(group) ?? 0) + count)
  }
  return { bySlot, pinned }
}

export interface PlannedEdit {
  /** Version of the map that was planned from. */
  readonly version: number
  readonly runs: readonly { readonly first: number; readonly last: number; readonly group: string }[]
  /** Groups that are given nothing more from now on, and whose pins go to `targets`. */
  readonly drained: readonly string[]
  readonly targets: readonly string[]
  readonly comment?: string | undefined
}

const ASSIGN = `select tandem.assign(first, last, group_name)
  from unnest($1::int[], $2::int[], $3::text[]) as run (first, last, group_name)`

/**
 * Makes the edit as one version, unless the map has changed since it was planned.
 * @returns the version it made
 * @throws TandemError MAP_REFUSED; and as {@link Database.query}
 */
export async function applyPlan(db: Database, edit: PlannedEdit): Promise<number> {
  const { version, runs, drained, targets, comment } = edit
  try {
    return await db.transaction(async (session) => {
      await session.query('select tandem.edit_map($1)', [comment ?? null])
      const [now] = await session.query<{ version: number }>('select version from tandem.map_state')
      if (now?.version !== version) throw outdated(version, now?.version)
      await session.query(ASSIGN, [
        runs.map(({ first }) => first),
        runs.map(({ last }) => last),
        runs.map(({ group }) => group),
      ])
      // With its slots gone, this moves its pins.
      for (const group of drained) await session.query('select tandem.drain_group($1, $2)', [group, targets])
      const [made] = await session.query<{ version: number }>('select version from tandem.map_state')
      return made?.version ?? 0
    })
  } catch (error) {
    throw refusal(error)
  }
}

const outdated = (planned: number, now: number | undefined) =>
  new TandemError('MAP_REFUSED', `the map is version ${now} now; the plan was made for version ${planned}`, {
    hint: 'plan again',
  })

import type { PinnedUsers } from '../src/partition/partition-map.ts'

/** Slots that a member serves or a reader wants; both ends included. */
export interface Slots {
  readonly first: number
  readonly last: number
}

/** What a reader may ask for: slots, and pinned users. */
export type Share = Slots | PinnedUsers

/** Where a table has what pins speak of, as SQL. */
export interface IdentityColumns {
  readonly user: string
  /** user@domain */
  readonly aor: string
}

export const ALL_SLOTS: readonly Slots[] = [{ first: 0, last: 16383 }]

/**
 * A condition on column `slot`, written out: with constants the planner skips the partitions that have none of them.
 * @throws RangeError unless all bounds are whole numbers
 */
export function slotCondition(ranges: readonly Slots[]): string {
  return anyOf(ranges.map(slotTerm))
}

/** As {@link slotCondition}, with the pinned users of the shares. A user pinned elsewhere may be among the rows. */
export function shareCondition(shares: readonly Share[], columns: IdentityColumns): string {
  return anyOf(
    shares.flatMap((share) => ('pinnedTo' in share ? pinTerms(share, columns) : [slotTerm(share)])),
  )
}

const anyOf = (terms: readonly string[]): string => (terms.length === 0 ? 'false' : `(${terms.join(' or ')})`)

function slotTerm({ first, last }: Slots): string {
  if (!Number.isInteger(first) || !Number.isInteger(last)) throw new RangeError('slots are whole numbers')
  return `slot between ${first} and ${last}`
}

/** Sub-selects that PostgreSQL hashes once, so that a hundred thousand pins cost a look-up a row. */
function pinTerms({ pinnedTo, users, prefixLengths }: PinnedUsers, { user, aor }: IdentityColumns): string[] {
  const group = `'${pinnedTo.replaceAll("'", "''")}'`
  const values = (kind: string) =>
    `(select value from tandem.pin where kind = '${kind}' and group_name = ${group})`
  return [
    ...(users ? [`${user} in ${values('user')}`, `${aor} in ${values('user')}`] : []),
    ...prefixLengths.map((length) => `left(${user}, ${Math.trunc(length)}) in ${values('prefix')}`),
  ]
}

export const isSlots = (share: Share): share is Slots => !('pinnedTo' in share)

export const includes = (ranges: readonly Slots[], slot: number): boolean =>
  ranges.some(({ first, last }) => first <= slot && slot <= last)

export const slotCount = (ranges: readonly Slots[]): number =>
  ranges.reduce((count, { first, last }) => count + last - first + 1, 0)

/** The slots that are in both; neither list overlaps itself. */
export function overlap(a: readonly Slots[], b: readonly Slots[]): Slots[] {
  return a.flatMap((x) =>
    b
      .map((y) => ({ first: Math.max(x.first, y.first), last: Math.min(x.last, y.last) }))
      .filter(({ first, last }) => first <= last),
  )
}

/** The slots of `a` that are not in `b`. */
export function without(a: readonly Slots[], b: readonly Slots[]): Slots[] {
  return b.reduce<Slots[]>(
    (left, { first, last }) =>
      overlap(left, [
        { first: Number.NEGATIVE_INFINITY, last: first - 1 },
        { first: last + 1, last: Number.POSITIVE_INFINITY },
      ]),
    [...a],
  )
}

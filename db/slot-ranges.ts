/** Slots that a member serves or a reader wants; both ends included. */
export interface Slots {
  readonly first: number
  readonly last: number
}

export const ALL_SLOTS: readonly Slots[] = [{ first: 0, last: 16383 }]

/**
 * A condition on column `slot`, written out: with constants the planner skips the partitions that have none of them.
 * @throws RangeError unless all bounds are whole numbers
 */
export function slotCondition(ranges: readonly Slots[]): string {
  const terms = ranges.map(({ first, last }) => {
    if (!Number.isInteger(first) || !Number.isInteger(last)) throw new RangeError('slots are whole numbers')
    return `slot between ${first} and ${last}`
  })
  return terms.length === 0 ? 'false' : `(${terms.join(' or ')})`
}

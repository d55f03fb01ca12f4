import { ALL_CONTACTS, type BindingRow, REMOVAL_HOLDS_MS } from '../db/binding-store.ts'

/** Whether `next` replaces `row`, which has the same key: the rule by which `writeBindings` decides in PostgreSQL. */
export function replaces(next: BindingRow, row: BindingRow): boolean {
  if (next.callId === row.callId && next.cseq > row.cseq) return true
  const isEarlier = next.callId === row.callId && next.cseq < row.cseq
  return next.changedAt >= row.changedAt && !(isEarlier && stands(row, next.changedAt))
}

const stands = (row: BindingRow, atMs: number): boolean =>
  row.deleted ? row.changedAt > atMs - REMOVAL_HOLDS_MS : row.expiresAt > atMs

/** What the removal of all contacts of an AOR makes of those that it is of, too; nothing for any other row. */
export function removedWith(removal: BindingRow, rows: readonly BindingRow[]): BindingRow[] {
  const { callId, cseq, changedAt } = removal
  return rows
    .filter((row) => row.expiresAt > changedAt && !row.deleted && isRemovedBy(row, removal))
    .map((row) => ({ ...row, callId, cseq, changedAt, expiresAt: changedAt, deleted: true }))
}

/** Whether the removal of all contacts of an AOR (a row with key {@link ALL_CONTACTS}) is of this one, too. */
export function isRemovedBy(row: BindingRow, removal: BindingRow): boolean {
  if (removal.key !== ALL_CONTACTS || !removal.deleted) return false
  return row.callId === removal.callId ? row.cseq < removal.cseq : row.changedAt < removal.changedAt
}

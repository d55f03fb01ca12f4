import type { EditResult, GroupLoad, MapChange, MapVersionRow } from '../db/map-admin.ts'
import type { MapSnapshot } from '../db/map-store.ts'
import { counted, numberText, section, textTable } from './text-table.ts'

/** Rows of a long list that are shown unless all are asked for. */
const SHOWN = 40

type ShownMap = Pick<MapSnapshot, 'version' | 'ranges' | 'pins'>

export function mapText(map: ShownMap, loads: readonly GroupLoad[], all = false): string {
  const ranges = map.ranges.map(({ first, last, group }) => [rangeText(first, last), group])
  const pins = map.pins.map(({ kind, value, group }) => [pinText(kind, value), group])
  return [
    `Map version ${map.version}: ${counted(loads.length, 'group')}, ${counted(ranges.length, 'range')}, ${counted(pins.length, 'pin')}`,
    section('Groups', textTable(GROUP_TITLES, loads.map(groupRow))),
    section('Slots', shortened(textTable(['Range', 'Group'], ranges), all)),
    ...(pins.length === 0 ? [] : [section('Pins', shortened(textTable(['User', 'Group'], pins), all))]),
  ].join('\n\n')
}

const GROUP_TITLES = [
  'Group',
  'State',
  'Master',
  'Members',
  'Slots',
  'Pins',
  'Subscribers',
  'Share',
  'Bindings',
]

const groupRow = (load: GroupLoad) => [
  load.group,
  load.state,
  load.master,
  load.members,
  load.slots,
  load.pins,
  load.subscribers,
  load.subscribersPercent === null ? null : `${load.subscribersPercent.toFixed(1)} %`,
  load.bindings,
]

function shortened(lines: readonly string[], all: boolean): readonly string[] {
  const more = lines.length - 1 - SHOWN
  return all || more <= 0 ? lines : [...lines.slice(0, SHOWN + 1), `… ${numberText(more)} more, with --all`]
}

export const rangeText = (first: number, last: number): string =>
  first === last ? `${first}` : `${first}-${last}`

const pinText = (kind: string, value: string) => (kind === 'prefix' ? `${value}*` : value)

/** What an edit did, or would do. */
export function editText({ version, changes, dryRun }: EditResult, before: number): string {
  const outcome = outcomeText(version, changes, dryRun, before)
  return changes.length === 0 ? outcome : `${changesText(changes)}\n\n${outcome}`
}

function outcomeText(
  version: number,
  changes: readonly MapChange[],
  dryRun: boolean,
  before: number,
): string {
  if (version === before) return `Nothing to change: version ${before} is like that already.`
  const moved = movedSubscribers(changes)
  const moves = `${counted(moved, 'subscriber')} ${moved === 1 ? 'changes' : 'change'} owner`
  if (dryRun) return `Dry run, nothing was changed. It would make version ${version}; ${moves}.`
  return `Version ${version} is in force; ${moves}. Undo: tandem map rollback ${before}`
}

export const movedSubscribers = (changes: readonly MapChange[]): number =>
  changes.reduce((sum, { subscribers }) => sum + (subscribers ?? 0), 0)

export function changesText(changes: readonly MapChange[]): string {
  const rows = changes.map(({ what, item, before, after, subscribers }) => [
    what,
    item,
    before ?? '-',
    after ?? '-',
    subscribers === null ? '' : numberText(subscribers),
  ])
  return textTable(['What', 'Which', 'Before', 'After', 'Subscribers'], rows).join('\n')
}

export function diffText(from: number, to: number, changes: readonly MapChange[]): string {
  if (changes.length === 0) return `Versions ${from} and ${to} are the same map.`
  const moved = movedSubscribers(changes)
  const ends = `From version ${from} to ${to}, ${counted(moved, 'subscriber')} ${moved === 1 ? 'changes' : 'change'} owner.`
  return `${changesText(changes)}\n\n${ends}`
}

export function historyText(rows: readonly MapVersionRow[]): string {
  return textTable(
    ['Version', 'When (UTC)', 'Who', 'Comment', 'Changes'],
    rows.map(({ version, changedAt, changedBy, comment, changes }) => [
      version,
      timeText(changedAt),
      changedBy,
      comment,
      changes,
    ]),
  ).join('\n')
}

/** `2026-11-21 06:05:14`, UTC */
export const timeText = (atMs: number): string => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')

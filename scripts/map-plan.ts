import { type Command, Option } from 'commander'
import type { Database } from '../db/database.ts'
import { applyPlan, type Counts, type MapLoad, readMapLoad } from '../db/map-plan-store.ts'
import { loadMap, type MapSnapshot } from '../db/map-store.ts'
import { TandemError } from '../src/ops/errors.ts'
import { nearest } from '../src/ops/nearest.ts'
import { type Plan, type PlanStep, planSlots, slotWeights } from '../src/partition/plan.ts'
import { type CommandContext, printResult } from './command-context.ts'
import { rangeText } from './map-text.ts'
import { withDatabase } from './operator-database.ts'
import { counted, numberText, section, textTable } from './text-table.ts'

interface PlanFlags {
  readonly add: readonly string[]
  readonly drain: readonly string[]
  readonly apply?: boolean
  readonly comment?: string
  readonly all?: boolean
  readonly json?: boolean
}

const EXAMPLES = `
Examples:
  tandem map plan                      even out what the groups carry
  tandem map plan --add c              bring in group c, which owns nothing yet (tandem map add-group)
  tandem map plan --drain b --apply    empty group b, as one version of the map

The load of a slot is its subscribers and its bindings. No group is planned to be above the mean by more than a slot.`

export function addMapPlanCommand(map: Command, context: CommandContext): void {
  const names = (text: string, before: readonly string[]) => [
    ...before,
    ...text.split(',').filter((name) => name !== ''),
  ]
  map
    .command('plan')
    .description('propose the fewest slots to move: to balance the groups, to add one or to drain one')
    .option('--add <groups>', 'groups that own nothing yet and shall carry their part', names, [])
    .option('--drain <groups>', 'groups that shall own nothing any more', names, [])
    .option('--apply', 'make the edit')
    .addOption(new Option('--dry-run', 'only say what would move: the default').conflicts('apply'))
    .option('-m, --comment <text>', 'why; kept with the version')
    .option('--all', 'all steps, however many')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action((flags: PlanFlags) =>
      withDatabase(context, async (db) => {
        const plan = await planMap(db, flags)
        const version = flags.apply && !isEmpty(plan) ? await apply(db, plan, flags) : null
        const { owners: _, ...shown } = plan
        printResult(context, flags.json, { ...shown, madeVersion: version }, () =>
          planText(plan, flags, version),
        )
      }),
    )
}

/** A plan for the map in a database, and what it means. */
export interface MapPlan extends Omit<Plan, 'steps'> {
  readonly steps: readonly CountedStep[]
  /** Version that was planned from. */
  readonly version: number
  readonly groups: readonly PlannedGroup[]
  readonly targets: readonly string[]
  readonly drained: readonly string[]
  /** Users whose group changes, with those whose pins go with a drained group. */
  readonly movedSubscribers: number
  readonly movedBindings: number
  /** Slots far above what chance gives them, the heaviest first. */
  readonly heavySlots: readonly { readonly slot: number; readonly load: number }[]
  /** Groups that own nothing and were not asked for. */
  readonly idle: readonly string[]
}

/** `subscribers`: whose group it changes. */
export type CountedStep = PlanStep & { readonly subscribers: number }

export interface PlannedGroup {
  readonly group: string
  readonly slots: number
  readonly slotsAfter: number
  /** Subscribers and bindings, pins counted in. */
  readonly load: number
  readonly loadAfter: number
}

/** @throws TandemError USAGE for groups that cannot be planned for; and as `Database.query` */
export async function planMap(
  db: Database,
  { add, drain }: Pick<PlanFlags, 'add' | 'drain'>,
): Promise<MapPlan> {
  const map = await loadMap(db)
  const load = await readMapLoad(db)
  if (load.version !== map.version) return planMap(db, { add, drain }) // edited in between
  const owners = ownersOf(map)
  const targets = targetsOf(map, new Set(owners), add, drain)
  const counts = load.subscribers.bySlot.map((count, slot) => count + (load.bindings.bySlot[slot] ?? 0))
  const fixed = new Map(map.groups.map(({ name }) => [name, pinnedTo(name, load)]))
  const weights = slotWeights(counts)
  const plan = planSlots({ owners, weights, targets, drained: drain, fixed })
  const moved = ({ bySlot, pinned }: Counts) =>
    sumOver(owners, (slot, owner) => (plan.owners[slot] === owner ? 0 : (bySlot[slot] ?? 0))) +
    drain.reduce((sum, group) => sum + (pinned.get(group) ?? 0), 0)
  return {
    ...plan,
    steps: plan.steps.map((step) => ({ ...step, subscribers: subscribersIn(step, load) })),
    version: map.version,
    groups: map.groups.map(({ name }) => plannedGroup(name, { plan, owners, counts, fixed, targets, drain })),
    targets,
    drained: drain,
    movedSubscribers: moved(load.subscribers),
    movedBindings: moved(load.bindings),
    heavySlots: heaviest(counts, weights),
    idle: idleGroups(map, new Set(owners), [...targets, ...drain]),
  }
}

const pinnedTo = (group: string, { subscribers, bindings }: MapLoad): number =>
  (subscribers.pinned.get(group) ?? 0) + (bindings.pinned.get(group) ?? 0)

const subscribersIn = ({ first, last }: PlanStep, { subscribers }: MapLoad): number =>
  subscribers.bySlot.subarray(first, last + 1).reduce((a, b) => a + b, 0)

function ownersOf({ ranges }: MapSnapshot): string[] {
  if (ranges.length === 0) {
    throw new TandemError('MAP_MISSING', 'the map is empty: there is nothing to plan', {
      hint: 'give all slots to a group first: `tandem map set 0-16383 GROUP`',
    })
  }
  return ranges.flatMap(({ first, last, group }) => new Array<string>(last - first + 1).fill(group))
}

/** Active groups that own slots, and those to be added, without those to be drained. */
function targetsOf(
  { groups }: MapSnapshot,
  owning: ReadonlySet<string>,
  add: readonly string[],
  drain: readonly string[],
): string[] {
  const names = groups.map(({ name }) => name)
  for (const name of [...add, ...drain]) {
    if (!names.includes(name)) throw unknownGroup(name, names)
  }
  for (const name of add) {
    if (drain.includes(name)) throw usage(`${name} cannot be added and drained`, 'name it once')
    const isDraining = groups.some((group) => group.name === name && group.state === 'draining')
    if (isDraining) {
      throw usage(
        `group ${name} is draining`,
        `if it shall serve again, in psql: UPDATE tandem.sip_group SET state = 'active' WHERE name = '${name}'`,
      )
    }
  }
  const targets = groups
    .filter(({ name, state }) => state === 'active' && (owning.has(name) || add.includes(name)))
    .map(({ name }) => name)
    .filter((name) => !drain.includes(name))
  if (targets.length > 0) return targets
  throw usage('no group is left to carry the load', 'bring in another with --add')
}

function unknownGroup(name: string, names: readonly string[]): TandemError {
  const meant = nearest(name, names)
  const hint = meant === undefined ? `groups: ${names.join(', ') || 'none'}` : `did you mean ${meant}?`
  return usage(`there is no group ${name}`, `${hint} A new one: \`tandem map add-group ${name} --master …\``)
}

const usage = (problem: string, hint: string) => new TandemError('USAGE', problem, { hint })

interface Planned {
  readonly plan: Plan
  readonly owners: readonly string[]
  readonly counts: Float64Array
  readonly fixed: ReadonlyMap<string, number>
  readonly targets: readonly string[]
  readonly drain: readonly string[]
}

function plannedGroup(group: string, { plan, owners, counts, fixed, targets, drain }: Planned): PlannedGroup {
  const one = (_: number, owner: string) => (owner === group ? 1 : 0)
  const count = (slot: number, owner: string) => (owner === group ? (counts[slot] ?? 0) : 0)
  const own = fixed.get(group) ?? 0
  const freed = drain.reduce((sum, name) => sum + (fixed.get(name) ?? 0), 0)
  const ownAfter = targets.includes(group) ? own + freed / targets.length : drain.includes(group) ? 0 : own
  return {
    group,
    slots: sumOver(owners, one),
    slotsAfter: sumOver(plan.owners, one),
    load: own + sumOver(owners, count),
    loadAfter: Math.round(ownAfter + sumOver(plan.owners, count)),
  }
}

const sumOver = (owners: readonly string[], value: (slot: number, owner: string) => number): number =>
  owners.reduce((sum, owner, slot) => sum + value(slot, owner), 0)

const HEAVY = 10
const HEAVY_SHOWN = 3

function heaviest(counts: Float64Array, weights: Float64Array): MapPlan['heavySlots'] {
  const usual = Float64Array.from(weights).sort()[weights.length >> 1] ?? 0
  return [...counts]
    .map((load, slot) => ({ slot, load }))
    .filter(({ load, slot }) => load > usual * HEAVY && weights[slot] === load)
    .sort((a, b) => b.load - a.load)
    .slice(0, HEAVY_SHOWN)
}

const idleGroups = (
  { groups }: MapSnapshot,
  owning: ReadonlySet<string>,
  planned: readonly string[],
): string[] =>
  groups
    .filter(({ name, state }) => state === 'active' && !owning.has(name) && !planned.includes(name))
    .map(({ name }) => name)

const isEmpty = ({ steps, drained }: MapPlan): boolean => steps.length === 0 && drained.length === 0

function apply(db: Database, plan: MapPlan, { comment }: PlanFlags): Promise<number> {
  return applyPlan(db, {
    version: plan.version,
    runs: plan.steps.map(({ first, last, to }) => ({ first, last, group: to })),
    drained: plan.drained,
    targets: plan.targets,
    comment: comment ?? 'tandem map plan',
  })
}

const SHOWN = 40

function planText(plan: MapPlan, flags: PlanFlags, madeVersion: number | null): string {
  return [
    `Plan for map version ${plan.version}`,
    section('Groups', groupLines(plan)),
    ...(plan.steps.length === 0 ? [] : [section('Steps', stepLines(plan.steps, flags.all))]),
    ...(plan.heavySlots.length === 0 ? [] : [section('Heavy slots', heavyLines(plan))]),
    outcomeText(plan, flags, madeVersion),
  ].join('\n\n')
}

function groupLines({ groups }: MapPlan): string[] {
  const total = groups.reduce((sum, { load }) => sum + load, 0)
  const share = (load: number) => (total === 0 ? '-' : `${((100 * load) / total).toFixed(1)} %`)
  return textTable(
    ['Group', 'Slots', 'then', 'Load', 'then', 'Share', 'then'],
    groups.map(({ group, slots, slotsAfter, load, loadAfter }) => [
      group,
      slots,
      slotsAfter,
      load,
      loadAfter,
      share(load),
      share(loadAfter),
    ]),
  )
}

function stepLines(steps: readonly CountedStep[], all = false): string[] {
  const shown = all ? steps : steps.slice(0, SHOWN)
  const rows = shown.map(({ first, last, from, to, subscribers }) => [
    rangeText(first, last),
    from,
    to,
    last - first + 1,
    subscribers,
  ])
  const lines = textTable(['Range', 'From', 'To', 'Slots', 'Subscribers'], rows)
  const more = steps.length - shown.length
  return more === 0 ? lines : [...lines, `… ${numberText(more)} more, with --all`]
}

const heavyLines = ({ heavySlots }: MapPlan): string[] => [
  ...heavySlots.map(({ slot, load }) => `slot ${slot}: ${numberText(load)}`),
  'No plan can divide a slot. A pin takes one user out of it; a domain that hashes by user@domain spreads its users.',
]

function outcomeText(plan: MapPlan, { add, drain }: PlanFlags, madeVersion: number | null): string {
  const idle = plan.idle.map(
    (group) => `\nGroup ${group} owns nothing and is left out; --add ${group} brings it in.`,
  )
  if (isEmpty(plan) || madeVersion === plan.version)
    return `Nothing to move: the groups are as even as slots allow.${idle.join('')}`
  const moves = `${counted(plan.movedSlots, 'slot')} in ${counted(plan.steps.length, 'step')}: ${counted(plan.movedSubscribers, 'subscriber')} and ${counted(plan.movedBindings, 'binding')} move.`
  const options = [...add.map((name) => ` --add ${name}`), ...drain.map((name) => ` --drain ${name}`)].join(
    '',
  )
  const end =
    madeVersion === null
      ? `Nothing was changed. To make it: tandem map plan${options} --apply`
      : `Version ${madeVersion} is in force. Undo: tandem map rollback ${plan.version}`
  return `${moves}${idle.join('')}\n${end}`
}

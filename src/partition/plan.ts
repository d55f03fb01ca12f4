/**
 * Which slots to move so that no group carries much more than the mean, and as few as possible.
 *
 * A limit is set: the mean of the target groups and the weight of one slot on top. A group above it gives slots away, the
 * heaviest first, until it is below: with fewer it cannot be done. What is given away goes, the heaviest first, each to the
 * group that carries least. That group is never above the mean, so it stays below the limit: there always is a plan when
 * the one slot is the heaviest of all. Lighter ones are tried before, for then the groups come closer to each other: with one
 * slot as heavy as a thousand others, "a slot's weight above the mean" would say little.
 *
 * Among slots of equal weight those are chosen that leave the fewest ranges.
 */

export interface PlanInput {
  /** Slot → its group. */
  readonly owners: readonly string[]
  /** Slot → what it weighs; not negative. */
  readonly weights: ArrayLike<number>
  /** The groups that are to carry the load, each its equal part. At least one. */
  readonly targets: readonly string[]
  /** Groups to be emptied, none of them a target. The slots of all other groups stay where they are. */
  readonly drained?: readonly string[]
  /** What a group carries however the slots lie; that of drained groups goes to the targets in equal parts. */
  readonly fixed?: ReadonlyMap<string, number>
}

export interface PlanStep {
  readonly first: number
  readonly last: number
  readonly from: string
  readonly to: string
}

export interface Plan {
  /** Slot → its group afterwards. */
  readonly owners: readonly string[]
  /** In the order of slots, neighbours with the same way in one. */
  readonly steps: readonly PlanStep[]
  readonly movedSlots: number
  /** What the targets would carry each if slots had no size. */
  readonly mean: number
  /** How far a group may be above the mean: the weight of a slot. No slot of a target that weighs more was moved unless that was fewest. */
  readonly tolerance: number
}

/** @throws RangeError without targets, or when one of them is to be drained */
export function planSlots(input: PlanInput): Plan {
  const { targets, drained = [] } = input
  if (targets.length === 0) throw new RangeError('a plan needs groups to carry the load')
  if (drained.some((group) => targets.includes(group)))
    throw new RangeError('a drained group carries nothing')
  const state = new PlanState(input)
  for (const tolerance of tolerances(input, state.mean)) {
    const owners = state.attempt(tolerance, Number.POSITIVE_INFINITY) ?? state.attempt(tolerance, tolerance)
    if (owners) return { owners, ...stepsBetween(input.owners, owners), mean: state.mean, tolerance }
  }
  throw new Error('the heaviest slot is always tolerance enough')
}

/** More are not worth their time; weights that come from counting are smoothed to a few anyway. */
const MAX_TOLERANCES = 24

/** Weights of slots, the lightest first and the heaviest last. */
function tolerances({ weights }: PlanInput, mean: number): number[] {
  const distinct = [...new Set(Array.from(weights))].sort((a, b) => a - b)
  const stride = Math.max(1, Math.ceil(distinct.length / MAX_TOLERANCES))
  const chosen = distinct.filter((weight, i) => weight > 0 && (i % stride === 0 || i === distinct.length - 1))
  return chosen.length > 0 ? chosen : [mean]
}

interface Slot {
  readonly slot: number
  readonly weight: number
  /** Length and start of the range it is in: of equal slots, those of the longest range go first, from its end. */
  readonly rangeLength: number
  readonly rangeFirst: number
}

class PlanState {
  readonly mean: number
  readonly #input: PlanInput
  readonly #slots: ReadonlyMap<string, readonly Slot[]>
  /** Target → what it carries before anything moves. */
  readonly #loads: ReadonlyMap<string, number>

  constructor(input: PlanInput) {
    this.#input = input
    this.#slots = slotsOfGroups(input)
    const { targets, drained = [], fixed } = input
    const moved = drained.reduce((sum, group) => sum + (fixed?.get(group) ?? 0), 0) / targets.length
    this.#loads = new Map(
      targets.map((group) => [group, moved + (fixed?.get(group) ?? 0) + total(this.#slots.get(group))]),
    )
    const toPlace = drained.reduce((sum, group) => sum + total(this.#slots.get(group)), 0)
    this.mean = ([...this.#loads.values()].reduce((a, b) => a + b, 0) + toPlace) / targets.length
  }

  /** Owners by which no group is above the limit, moving nothing heavier than `heaviest` off a target; undefined: not so. */
  attempt(tolerance: number, heaviest: number): string[] | undefined {
    // Sums of weights differ in their last digits with the order of the sum.
    const limit = this.mean + tolerance + 1e-9 * (this.mean + tolerance)
    const loads = new Map(this.#loads)
    const shed: Slot[] = (this.#input.drained ?? []).flatMap((group) => this.#slots.get(group) ?? [])
    /** What a target cannot go below: it is above the limit by its fixed load alone. */
    const floors = new Set<string>()
    for (const [group, before] of loads) {
      let load = before
      for (const slot of this.#slots.get(group) ?? []) {
        if (load <= limit) break
        if (slot.weight > heaviest) continue
        shed.push(slot)
        load -= slot.weight
      }
      if (load > limit && heaviest < Number.POSITIVE_INFINITY) return undefined
      if (load > limit) floors.add(group)
      loads.set(group, load)
    }
    const owners = [...this.#input.owners]
    place(shed, loads, owners)
    const isOver = [...loads].some(([group, load]) => load > limit && !floors.has(group))
    return isOver ? undefined : owners
  }
}

/** Each group's slots in the order in which it gives them away. */
function slotsOfGroups({ owners, weights }: PlanInput): Map<string, Slot[]> {
  const groups = new Map<string, Slot[]>()
  for (let first = 0, next = 0; first < owners.length; first = next) {
    const owner = owners[first] as string
    while (next < owners.length && owners[next] === owner) next++
    const list = groups.get(owner) ?? []
    for (let slot = first; slot < next; slot++) {
      list.push({ slot, weight: weights[slot] ?? 0, rangeLength: next - first, rangeFirst: first })
    }
    groups.set(owner, list)
  }
  for (const list of groups.values()) list.sort(givenAwayFirst)
  return groups
}

const givenAwayFirst = (a: Slot, b: Slot): number =>
  b.weight - a.weight || b.rangeLength - a.rangeLength || a.rangeFirst - b.rangeFirst || b.slot - a.slot

const total = (slots: readonly Slot[] = []): number => slots.reduce((sum, { weight }) => sum + weight, 0)

/**
 * Gives each slot, the heaviest first, to the group that carries least. Slots of the same weight are the same to that rule, so
 * first each group's number of them is found, and then it gets them in runs.
 */
function place(shed: readonly Slot[], loads: Map<string, number>, owners: string[]): void {
  for (const alike of byWeight(shed)) {
    const weight = alike[0]?.weight ?? 0
    const counts = new Map<string, number>()
    for (let i = 0; i < alike.length; i++) {
      const group = leastLoaded(loads, counts)
      counts.set(group, (counts.get(group) ?? 0) + 1)
      loads.set(group, (loads.get(group) ?? 0) + weight)
    }
    const inOrder = alike.map(({ slot }) => slot).sort((a, b) => a - b)
    let next = 0
    for (const [group, count] of counts) {
      for (const slot of inOrder.slice(next, next + count)) owners[slot] = group
      next += count
    }
  }
}

function byWeight(slots: readonly Slot[]): Slot[][] {
  const classes = new Map<number, Slot[]>()
  for (const slot of slots) {
    const alike = classes.get(slot.weight)
    if (alike) alike.push(slot)
    else classes.set(slot.weight, [slot])
  }
  return [...classes.values()].sort((a, b) => (b[0]?.weight ?? 0) - (a[0]?.weight ?? 0))
}

/** Where nothing has weight, the number of slots decides. */
function leastLoaded(loads: ReadonlyMap<string, number>, counts: ReadonlyMap<string, number>): string {
  let best = ''
  let bestLoad = Number.POSITIVE_INFINITY
  let bestCount = 0
  for (const [group, load] of loads) {
    const count = counts.get(group) ?? 0
    if (load < bestLoad || (load === bestLoad && count < bestCount)) {
      best = group
      bestLoad = load
      bestCount = count
    }
  }
  return best
}

function stepsBetween(
  before: readonly string[],
  after: readonly string[],
): Pick<Plan, 'steps' | 'movedSlots'> {
  const steps: PlanStep[] = []
  let movedSlots = 0
  for (let first = 0, next = 0; first < before.length; first = next) {
    const [from, to] = [before[first] as string, after[first] as string]
    while (next < before.length && before[next] === from && after[next] === to) next++
    if (from === to) continue
    steps.push({ first, last: next - 1, from, to })
    movedSlots += next - first
  }
  return { steps, movedSlots }
}

/** Within this many standard deviations, a count is as good as the average: of 16,384 slots not one is outside by chance. */
const CHANCE = 5
/** Where few are counted, chance is not symmetric: three in one slot are nothing special. */
const FEW = 3

/**
 * Counts as the weights to plan by. The hash spreads users evenly, so what a slot has more or less than the average is mostly
 * chance, which moving slots would chase in vain, and which would tear ranges to pieces: such a slot weighs the
 * average. One with more than chance explains, or less, keeps its count. No count at all: every slot weighs the same.
 */
export function slotWeights(counts: ArrayLike<number>): Float64Array {
  const weights = Float64Array.from(counts)
  if (weights.every((count) => count === 0)) return weights.fill(1)
  // Slots that weigh more than chance explains would raise the average, so it is taken again without them.
  let average = weights.reduce((a, b) => a + b, 0) / weights.length
  for (let round = 0; round < 3; round++) {
    const usual = weights.filter((count) => isChance(count, average))
    if (usual.length > 0) average = usual.reduce((a, b) => a + b, 0) / usual.length
  }
  return average === 0 ? weights : weights.map((count) => (isChance(count, average) ? average : count))
}

function isChance(count: number, average: number): boolean {
  const spread = CHANCE * Math.sqrt(average)
  return count <= average + spread + FEW && count >= average - spread
}

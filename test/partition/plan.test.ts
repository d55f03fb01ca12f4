import fc from 'fast-check'
import t from 'tap'
import { type Plan, type PlanInput, planSlots, slotWeights } from '../../src/partition/plan.ts'
import { SLOTS } from '../../src/partition/slot.ts'

const GROUPS = ['a', 'b', 'c', 'd'] as const

/** Small maps: every group may own slots, be a target, be drained, or be left alone. */
const smallInput = (slots: number, weight: fc.Arbitrary<number>, fixed = false): fc.Arbitrary<PlanInput> =>
  fc
    .record({
      owners: fc.array(fc.constantFrom(...GROUPS), { minLength: 1, maxLength: slots }),
      roles: fc.tuple(
        fc.constant('target'),
        ...GROUPS.slice(1).map(() => fc.constantFrom('target', 'drained', 'left')),
      ),
      weights: fc.array(weight, { minLength: slots, maxLength: slots }),
      fixed: fc.array(fixed ? fc.nat({ max: 20 }) : fc.constant(0), { minLength: 4, maxLength: 4 }),
    })
    .map(({ owners, roles, weights, fixed }) => ({
      owners,
      weights: weights.slice(0, owners.length),
      targets: GROUPS.filter((_, i) => roles[i] === 'target'),
      drained: GROUPS.filter((_, i) => roles[i] === 'drained'),
      fixed: new Map(GROUPS.map((group, i) => [group, fixed[i] ?? 0])),
    }))

function loadsOf({ weights, targets, drained = [], fixed }: PlanInput, owners: readonly string[]) {
  const extra = drained.reduce((sum, group) => sum + (fixed?.get(group) ?? 0), 0) / targets.length
  const own = (group: string) => owners.reduce((sum, o, i) => sum + (o === group ? (weights[i] ?? 0) : 0), 0)
  return targets.map((group) => ({ group, load: own(group) + extra + (fixed?.get(group) ?? 0) }))
}

/** Fewest moves by trying every map: off the targets only slots up to `heaviest`. */
function fewestMoves(input: PlanInput, limit: number, heaviest: number): number {
  const { owners, weights, targets, drained = [] } = input
  let fewest = Number.POSITIVE_INFINITY
  const after = [...owners]
  const visit = (slot: number, moves: number): void => {
    if (moves >= fewest) return
    if (slot === owners.length) {
      if (loadsOf(input, after).every(({ load }) => load <= limit + 1e-6)) fewest = moves
      return
    }
    const owner = owners[slot] as string
    const mayStay = !drained.includes(owner)
    const mayGo = !mayStay || (targets.includes(owner) && (weights[slot] ?? 0) <= heaviest)
    if (mayStay) visit(slot + 1, moves)
    if (mayGo) {
      for (const target of targets.filter((name) => name !== owner)) {
        after[slot] = target
        visit(slot + 1, moves + 1)
      }
      after[slot] = owner
    }
  }
  visit(0, 0)
  return fewest
}

/** What holds of every plan. */
function isSound(input: PlanInput, plan: Plan): void {
  const { owners, targets, drained = [] } = input
  const replayed = [...owners]
  let lastSlot = -1
  for (const { first, last, from, to } of plan.steps) {
    if (first <= lastSlot || last < first) throw new Error('steps overlap or are out of order')
    if (from === to || !targets.includes(to)) throw new Error(`${from} → ${to}`)
    if (!targets.includes(from) && !drained.includes(from)) throw new Error(`${from} was to be left alone`)
    for (let slot = first; slot <= last; slot++) {
      if (owners[slot] !== from) throw new Error(`slot ${slot} is not ${from}'s`)
      replayed[slot] = to
    }
    lastSlot = last
  }
  if (replayed.join() !== plan.owners.join()) throw new Error('the steps do not lead to the plan')
  if (plan.owners.some((owner) => drained.includes(owner))) throw new Error('a drained group owns something')
  const moved = owners.filter((owner, i) => owner !== plan.owners[i]).length
  if (moved !== plan.movedSlots) throw new Error('miscounted')
}

const WEIGHTS = {
  equal: fc.constant(1),
  small: fc.nat({ max: 6 }),
  'with heavy ones': fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 5, max: 30 }) },
  ),
}

for (const [name, weight] of Object.entries(WEIGHTS)) {
  t.test(`no group above the limit, and no plan moves fewer slots: weights ${name}`, async (t) => {
    fc.assert(
      fc.property(smallInput(7, weight), (input) => {
        const plan = planSlots(input)
        isSound(input, plan)
        const limit = plan.mean + plan.tolerance
        for (const { load } of loadsOf(input, plan.owners)) if (load > limit + 1e-6) throw new Error('above')
        const best = fewestMoves(input, limit, Number.POSITIVE_INFINITY)
        const bestOfLight = fewestMoves(input, limit, plan.tolerance)
        return plan.movedSlots === best || plan.movedSlots === bestOfLight
      }),
      { numRuns: 300, seed: 4 },
    )
    t.pass()
  })
}

t.test(
  'the tolerance is never above the heaviest slot; what is planned again moves only to get closer',
  async (t) => {
    fc.assert(
      fc.property(smallInput(12, fc.nat({ max: 9 })), (input) => {
        const plan = planSlots(input)
        const again = planSlots({ ...input, owners: plan.owners })
        const heaviest = Math.max(...Array.from(input.weights))
        const stays = again.movedSlots === 0 || again.tolerance < plan.tolerance
        return (heaviest === 0 || plan.tolerance <= heaviest) && stays
      }),
      { numRuns: 300, seed: 4 },
    )
    t.pass()
  },
)

t.test('with a fixed load: slots make room as far as they can', async (t) => {
  fc.assert(
    fc.property(smallInput(8, fc.nat({ max: 6 }), true), (input) => {
      const plan = planSlots(input)
      isSound(input, plan)
      const limit = plan.mean + plan.tolerance + 1e-6
      return loadsOf(input, plan.owners).every(
        ({ group, load }) =>
          load <= limit || !plan.owners.some((owner, i) => owner === group && (input.weights[i] ?? 0) > 0),
      )
    }),
    { numRuns: 300, seed: 4 },
  )
  t.pass()
})

const alternating = (groups: readonly string[], run: number): string[] =>
  Array.from({ length: SLOTS }, (_, slot) => groups[Math.floor(slot / run) % groups.length] as string)

const slotsOf = (owners: readonly string[], group: string) => owners.filter((owner) => owner === group).length

t.test('a third group takes a third, in few ranges', async (t) => {
  const owners = alternating(['a', 'b'], 2048)
  const plan = planSlots({ owners, weights: new Float64Array(SLOTS).fill(1), targets: ['a', 'b', 'c'] })
  t.same(
    ['a', 'b', 'c'].map((group) => slotsOf(plan.owners, group)),
    [5462, 5462, 5460],
  )
  t.equal(plan.movedSlots, 5460)
  t.ok(plan.steps.length <= 4, `${plan.steps.length} steps`)
})

t.test('one slot as heavy as a thousand does not make the others uneven', async (t) => {
  const weights = new Float64Array(SLOTS).fill(1)
  weights[0] = 2000
  const plan = planSlots({ owners: alternating(['a', 'b'], 2048), weights, targets: ['a', 'b'] })
  t.equal(plan.tolerance, 1)
  const loads = loadsOf({ owners: [], weights, targets: ['a', 'b'] }, plan.owners).map(({ load }) => load)
  t.ok(Math.max(...loads) - Math.min(...loads) <= 2, loads.join())
  t.equal(plan.owners[0], 'a')
})

t.test('a group is drained into the others', async (t) => {
  const owners = alternating(['a', 'b', 'c'], 1024)
  const plan = planSlots({
    owners,
    weights: new Float64Array(SLOTS).fill(1),
    targets: ['a', 'c'],
    drained: ['b'],
  })
  t.equal(plan.movedSlots, slotsOf(owners, 'b'))
  t.ok(Math.abs(slotsOf(plan.owners, 'a') - slotsOf(plan.owners, 'c')) <= 1024)
  t.throws(() => planSlots({ owners, weights: [], targets: [] }), RangeError)
  t.throws(() => planSlots({ owners, weights: [], targets: ['a'], drained: ['a'] }), RangeError)
})

t.test('what chance gives a slot more or less weighs nothing; what it does not explain, does', async (t) => {
  let seed = 1
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed / 2_147_483_647
  }
  const counts = new Float64Array(SLOTS)
  for (let user = 0; user < 500_000; user++) {
    const slot = Math.floor(random() * SLOTS)
    counts[slot] = (counts[slot] ?? 0) + 1
  }
  counts[17] = 5_000
  const weights = slotWeights(counts)
  t.equal(new Set(weights).size, 2)
  t.equal(weights[17], 5_000)
  t.ok(Math.abs((weights[0] ?? 0) - 500_000 / SLOTS) < 0.1)
  t.same(new Set(slotWeights(new Float64Array(SLOTS))), new Set([1]), 'nobody there')
  const four = new Float64Array(SLOTS)
  four[1] = 3
  four[2] = 1
  t.equal(new Set(slotWeights(four)).size, 1, 'four users')
})

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import { Location, UNNUMBERED } from '../../stage2/location.ts'
import { binding } from '../support/cluster.ts'

const NOW = Date.UTC(2026, 5, 1)
/** So small that a few hundred changes make it grow and move what it has. */
const SMALL = { segmentBytes: 1024, bucketSlots: 8 }

/** What a Location is, in plain Maps, and with a walk through everything wherever that is simplest. */
class Model {
  readonly rows = new Map<string, BindingRow>()
  readonly waiting = new Map<string, { latest: BindingRow; durable: BindingRow | undefined }>()

  put(row: BindingRow): void {
    const id = idOf(row)
    const durable = this.waiting.has(id) ? this.waiting.get(id)?.durable : this.rows.get(id)
    this.waiting.set(id, { latest: row, durable })
    this.set(row)
  }

  adopt(row: BindingRow): void {
    const waiting = this.waiting.get(idOf(row))
    const known = waiting ? waiting.durable : this.rows.get(idOf(row))
    if (known && known.rev >= row.rev) return
    if (waiting) waiting.durable = row
    else this.set(row)
  }

  end(change: BindingRow, how: 'settle' | 'revert' | 'keep', durable: BindingRow): void {
    const waiting = this.waiting.get(idOf(change))
    if (waiting?.latest === change) this.waiting.delete(idOf(change))
    if (how === 'settle') {
      const known = waiting?.durable
      if (waiting?.latest === change) this.set(known && known.rev > durable.rev ? known : durable)
      else this.adopt(durable)
    } else if (how === 'revert' && waiting?.latest === change) {
      if (waiting.durable) this.set(waiting.durable)
      else this.rows.delete(idOf(change))
    } else if (how === 'keep' && waiting && waiting.latest !== change) waiting.durable = change
  }

  forget(slot: number): void {
    const lost = [...this.rows.values()].filter((row) => row.slot === slot).map(({ aor }) => aor)
    const isKept = (aor: string) => [...this.waiting.values()].some(({ latest }) => latest.aor === aor)
    for (const [id, { aor }] of this.rows) if (lost.includes(aor) && !isKept(aor)) this.rows.delete(id)
  }

  sweep(beforeMs: number): void {
    for (const [id, row] of this.rows)
      if (row.expiresAt < beforeMs && !this.waiting.has(id)) this.rows.delete(id)
  }

  set(row: BindingRow): void {
    this.rows.set(idOf(row), row)
  }
}

const idOf = ({ aor, key }: BindingRow): string => `${aor} ${key}`

const row = fc
  .record({
    user: fc.integer({ min: 0, max: 60 }),
    phone: fc.integer({ min: 0, max: 3 }),
    rev: fc.integer({ min: 1, max: 1000 }),
    minutes: fc.integer({ min: -5, max: 60 }),
    agent: fc.integer({ min: 0, max: 4 }),
    tail: fc.integer({ min: 0, max: 60 }),
    deleted: fc.boolean(),
  })
  .map(({ user, phone, rev, minutes, agent, tail, deleted }) =>
    binding(`sip:u${user}@192.0.2.${phone}`, NOW, {
      aor: `u${user}@example.com`,
      slot: user % 8,
      rev,
      expiresAt: NOW + minutes * 60_000,
      userAgent: agent === 0 ? null : `Phone ${agent}`,
      path: [`<sip:${'t'.repeat(tail)}@192.0.2.60;lr>`],
      deleted,
    }),
  )

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ name: fc.constant('adopt' as const), row }) },
  { weight: 8, arbitrary: fc.record({ name: fc.constant('put' as const), row }) },
  {
    weight: 8,
    arbitrary: fc.record({
      name: fc.constantFrom('settle' as const, 'revert' as const, 'keep' as const),
      which: fc.nat(),
      row,
      isNewer: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ name: fc.constant('forget' as const), slot: fc.nat(7) }) },
  {
    weight: 1,
    arbitrary: fc.record({ name: fc.constant('sweep' as const), minutes: fc.integer({ min: -5, max: 30 }) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

/** The same to both; `open` are the changes that wait. */
async function take(step: Step, location: Location, model: Model, open: BindingRow[]): Promise<void> {
  if (step.name === 'adopt') {
    location.adopt(step.row)
    model.adopt(step.row)
  } else if (step.name === 'put') {
    const change = { ...step.row, rev: UNNUMBERED }
    location.put(change)
    model.put(change)
    open.push(change)
  } else if (step.name === 'forget') {
    await location.forget((slot) => slot === step.slot)
    model.forget(step.slot)
  } else if (step.name === 'sweep') {
    // Each looks at a few parts only; so many are a whole round.
    for (let i = 0; i < 10; i++) location.sweep(NOW + step.minutes * 60_000)
    model.sweep(NOW + step.minutes * 60_000)
  } else {
    const [change] = open.splice(step.which % Math.max(open.length, 1), 1)
    if (!change) return
    const durable = step.isNewer
      ? { ...step.row, aor: change.aor, key: change.key }
      : { ...change, rev: step.row.rev }
    if (step.name === 'settle') location.settle(change, durable)
    else location[step.name](change)
    model.end(change, step.name, durable)
  }
}

async function allOf(location: Location): Promise<BindingRow[]> {
  const rows = []
  for await (const batch of location.all()) rows.push(...batch)
  return rows
}

const inOrder = (rows: Iterable<BindingRow>) => [...rows].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))

t.test('packed or not, it is the same memory', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 400, size: 'max' }), async (steps) => {
      const location = new Location(SMALL)
      const model = new Model()
      const open: BindingRow[] = []
      for (const one of steps) {
        await take(one, location, model, open)
        const aor = 'row' in one ? one.row.aor : 'u1@example.com'
        const expected = [...model.rows.values()].filter((known) => known.aor === aor)
        if (!isDeepStrictEqual(inOrder(location.rows(aor)), inOrder(expected))) return false
      }
      const aors = new Set([...model.rows.values()].map(({ aor }) => aor))
      return (
        location.size === aors.size &&
        location.pending === model.waiting.size &&
        isDeepStrictEqual(inOrder(await allOf(location)), inOrder(model.rows.values()))
      )
    }),
    { numRuns: 100, seed: 11 },
  )
  t.pass()
})

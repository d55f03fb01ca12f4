import t from 'tap'
import { type FuzzReport, fuzz, reproduction } from './fuzz/fuzz.ts'
import { heapMb } from './fuzz/heap.ts'

/*
 * A few seconds of what `npm run fuzz` does for longer. The seeds are fixed, so that a failure here is nobody's bad
 * luck: a slow machine sees fewer inputs, but never others.
 */

const SEEDS = [3261, 4475, 5118]
const SECONDS_EACH = 1.5
const ITERATIONS_EACH = 25_000

function explain({ failure }: FuzzReport): string {
  return failure
    ? `${failure.error}\n${JSON.stringify(failure.input)}\n${reproduction(failure)}`
    : 'no failure'
}

for (const seed of SEEDS) {
  t.test(`seed ${seed}`, async (t) => {
    const report = fuzz({ seed, seconds: SECONDS_EACH, iterations: ITERATIONS_EACH })
    t.equal(report.failure, undefined, explain(report))
    t.ok(report.inputs > 200, `${report.inputs} inputs`)
    for (const outcome of ['none', 'refused', 'accepted'] as const)
      t.ok(report.outcomes[outcome] > 0, `some inputs are: ${outcome}`)
  })
}

t.test('the same seed makes the same inputs', async (t) => {
  const [a, b] = [fuzz({ seed: 1, iterations: 200 }), fuzz({ seed: 1, iterations: 200 })]
  t.equal(a.bytes, b.bytes)
  t.same(a.outcomes, b.outcomes)
  const [whole, rest] = [fuzz({ seed: 1, iterations: 200 }), fuzz({ seed: 1, first: 150, iterations: 50 })]
  t.equal(fuzz({ seed: 1, iterations: 150 }).bytes + rest.bytes, whole.bytes, 'and each can be made alone')
})

t.test('nothing is left in memory', async (t) => {
  // What the first inputs compile and cache is no growth.
  fuzz({ seed: 7, iterations: 2_000 })
  const before = heapMb()
  const { inputs } = fuzz({ seed: 8, iterations: 5_000, seconds: 1.5 })
  const grown = heapMb() - before
  t.ok(grown < 4, `${grown.toFixed(1)} MB after ${inputs} inputs`)
})

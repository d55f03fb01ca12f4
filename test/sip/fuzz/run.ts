import { parseArgs } from 'node:util'
import { type FuzzReport, fuzz, reproduction } from './fuzz.ts'
import { heapMb } from './heap.ts'

/*
 * npm run fuzz -- [--iterations N] [--seconds N] [--seed N] [--first N]
 *
 * Without --iterations and --seconds: a million inputs. Ends with 1 when something is wrong.
 */

const { values } = parseArgs({
  options: {
    iterations: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    first: { type: 'string', default: '0' },
  },
})

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const seconds = values.seconds === undefined ? {} : { seconds: Number(values.seconds) }
const fallback = values.seconds === undefined ? { iterations: 1_000_000 } : {}
const iterations = values.iterations === undefined ? fallback : { iterations: Number(values.iterations) }

function line({ inputs, bytes, elapsedMs, worstMs, worstNumber, outcomes }: FuzzReport): string {
  const perSecond = Math.round(inputs / (elapsedMs / 1000))
  const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`)
  return (
    `${inputs} inputs, ${(bytes / 2 ** 20).toFixed(0)} MB, ${(elapsedMs / 1000).toFixed(0)} s, ${perSecond}/s; ` +
    `slowest ${worstMs.toFixed(1)} ms (number ${worstNumber}); ${counts.join(', ')}`
  )
}

console.log(`seed ${seed}`)
// What the first inputs compile and cache is no growth.
fuzz({ seed: seed + 1, iterations: 5_000 })
const beforeMb = heapMb()
let shown = performance.now()
const report = fuzz({
  seed,
  first: Number(values.first),
  ...iterations,
  ...seconds,
  onProgress: (report) => {
    if (performance.now() - shown < 5_000) return
    shown = performance.now()
    console.log(`${line(report)}; heap ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(0)} MB`)
  },
})
console.log(line(report))
console.log(`heap ${beforeMb.toFixed(1)} MB before, ${heapMb().toFixed(1)} MB after`)
if (report.failure) {
  console.error(report.failure.error)
  console.error(JSON.stringify(report.failure.input))
  console.error(reproduction(report.failure))
  process.exitCode = 1
}

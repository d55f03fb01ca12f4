import { checkDatagram, checkStream, type Outcome } from './check.ts'
import { makeInput, makeStream } from './mutate.ts'
import { Random } from './random.ts'

export interface FuzzOptions {
  readonly seed: number
  /** The number of the first input. */
  readonly first?: number
  readonly iterations?: number
  readonly seconds?: number
  readonly onProgress?: (report: FuzzReport) => void
}

export interface Failure {
  readonly seed: number
  readonly number: number
  readonly input: string
  readonly error: unknown
}

export interface FuzzReport {
  inputs: number
  bytes: number
  elapsedMs: number
  /** The longest time that one input took. */
  worstMs: number
  worstNumber: number
  readonly outcomes: Record<Outcome, number>
  failure?: Failure
}

/** One input that takes as long as this hangs, even on a busy machine: the usual time is 0.1 ms. */
export const HANG_MS = 2_000

const PROGRESS_EVERY = 10_000

/** Makes and checks inputs until time or number is up, or something is wrong. The same seed makes the same inputs. */
export function fuzz(options: FuzzOptions): FuzzReport {
  const {
    seed,
    first = 0,
    iterations = Number.POSITIVE_INFINITY,
    seconds = Number.POSITIVE_INFINITY,
  } = options
  const report: FuzzReport = {
    inputs: 0,
    bytes: 0,
    elapsedMs: 0,
    worstMs: 0,
    worstNumber: first,
    outcomes: { none: 0, refused: 0, accepted: 0, response: 0, dropped: 0 },
  }
  const started = performance.now()
  for (let number = first; number < first + iterations && report.elapsedMs < seconds * 1000; number++) {
    const failure = checkOne(seed, number, report)
    report.elapsedMs = performance.now() - started
    if (failure) return { ...report, failure }
    if (report.inputs % PROGRESS_EVERY === 0) options.onProgress?.(report)
  }
  return report
}

/** Every eighth input is a stream. */
function checkOne(seed: number, number: number, report: FuzzReport): Failure | undefined {
  const random = new Random(seed, number)
  const isStream = number % 8 === 7
  const input = isStream ? makeStream(random) : makeInput(random)
  const started = performance.now()
  try {
    const outcome = isStream ? checkStream(input, random) : checkDatagram(input)
    report.outcomes[outcome]++
  } catch (error) {
    return { seed, number, input, error }
  }
  const tookMs = performance.now() - started
  if (tookMs > HANG_MS) return { seed, number, input, error: new Error(`took ${tookMs} ms`) }
  report.inputs++
  report.bytes += input.length
  if (tookMs > report.worstMs) {
    report.worstMs = tookMs
    report.worstNumber = number
  }
  return undefined
}

/** How to see a failure again, alone. */
export function reproduction({ seed, number }: Failure): string {
  return `npm run fuzz -- --seed ${seed} --first ${number} --iterations 1`
}

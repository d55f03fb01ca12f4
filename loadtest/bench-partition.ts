import { randomUUID } from 'node:crypto'
import { cpus } from 'node:os'
import { type MapRows, PartitionMap } from '../src/partition/partition-map.ts'
import type { PinRow } from '../src/partition/pins.ts'
import { SLOTS, slotOf } from '../src/partition/slot.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'

/**
 * Whether the hash spreads users fairly, and what an owner look-up costs: `npm run bench:partition [-- --json]`.
 *
 * Fairness: users of one kind over equal ranges of slots. A kind passes if its chi-squared stays below the bound that a truly
 * random hash exceeds once in a thousand times: the figure that matters for load is max/mean, shown beside it.
 * Speed: canonical form, pins (100,000 of them), hash and owner, in CPU time on one core; the median of several runs.
 */

const GROUPS = [2, 3, 4, 8, 16, 32, 64]
const PINS = 100_000
const RUNS = 7
const LOOKUPS = 1_000_000

const FIRST = [
  'anna',
  'ben',
  'carla',
  'david',
  'eva',
  'felix',
  'gina',
  'hans',
  'ida',
  'jan',
  'kim',
  'lea',
  'max',
  'nora',
]
const LAST = [
  'smith',
  'jones',
  'mueller',
  'schmidt',
  'garcia',
  'rossi',
  'dubois',
  'novak',
  'ivanov',
  'kim',
  'wang',
  'sato',
]

const kinds: Readonly<Record<string, readonly string[]>> = {
  'one number block': numbers(100_000, (i) => `+49301${String(i).padStart(6, '0')}`),
  '100 number blocks': numbers(
    100_000,
    (i) => `+49${200 + Math.floor(i / 1000)}55${String(i % 1000).padStart(4, '0')}`,
  ),
  'every tenth number': numbers(100_000, (i) => `+4989${String(i * 10).padStart(7, '0')}`),
  names: numbers(
    50_000,
    (i) => `${FIRST[i % 14]}.${LAST[Math.floor(i / 14) % 12]}${Math.floor(i / 168) || ''}`,
  ),
  'extensions 100…999': numbers(900, (i) => String(100 + i)),
  UUIDs: numbers(100_000, () => randomUUID()),
}

function numbers(count: number, user: (i: number) => string): string[] {
  return Array.from({ length: count }, (_, i) => user(i))
}

interface Fairness {
  readonly kind: string
  readonly users: number
  readonly groups: number
  readonly chiSquared: number
  readonly bound: number
  readonly maxOverMean: number
}

function fairness(kind: string, users: readonly string[], groups: number): Fairness {
  const counts = new Array<number>(groups).fill(0)
  for (const user of users) {
    const group = Math.floor((slotOf(user) * groups) / SLOTS)
    counts[group] = (counts[group] ?? 0) + 1
  }
  const mean = users.length / groups
  const chiSquared = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
  return {
    kind,
    users: users.length,
    groups,
    chiSquared,
    bound: chiBound(groups - 1),
    maxOverMean: Math.max(...counts) / mean,
  }
}

/** What chi-squared exceeds once in a thousand times (Wilson and Hilferty's approximation). */
function chiBound(freedom: number): number {
  const spread = 2 / (9 * freedom)
  return freedom * (1 - spread + 3.09 * Math.sqrt(spread)) ** 3
}

function lookupRate(): { millionPerSec: number; microseconds: number } {
  const groups = Array.from({ length: 8 }, (_, i) => ({ name: `g${i}` }))
  const share = SLOTS / groups.length
  const rows: MapRows = {
    version: 1,
    domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user' }],
    groups,
    members: [],
    ranges: groups.map(({ name }, i) => ({ group: name, first: i * share, last: (i + 1) * share - 1 })),
    pins: Array.from({ length: PINS }, (_, i): PinRow => {
      const group = `g${i % 8}`
      return i % 2 === 0
        ? { kind: 'user', value: `+4970${i}`, group }
        : { kind: 'prefix', value: `+4971${i}`, group }
    }),
  }
  const map = new PartitionMap(rows)
  const uris = kinds['100 number blocks']?.map((user) => parseUri(`sip:${user}@example.com`)) as Uri[]
  const names = kinds.names?.map((user) => parseUri(`sip:${user}@example.com`)) as Uri[]
  const mixed = uris.map((uri, i) => (i % 2 === 0 ? uri : (names[i % names.length] as Uri)))
  let sink = 0
  const runs = Array.from({ length: RUNS + 1 }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < LOOKUPS; i++)
      sink += map.ownerOf(map.identityOf(mixed[i % mixed.length] as Uri)).ranges.length
    const { user, system } = process.cpuUsage(before)
    return (user + system) / LOOKUPS
  }).slice(1)
  if (sink === 0) throw new Error('nobody owns anything')
  const microseconds = runs.sort((a, b) => a - b)[RUNS >> 1] as number
  return { microseconds, millionPerSec: 1 / microseconds }
}

const rows = Object.entries(kinds).flatMap(([kind, users]) =>
  GROUPS.map((groups) => fairness(kind, users, groups)),
)
const unfair = rows.filter(({ chiSquared, bound }) => chiSquared > bound)
const rate = lookupRate()

console.log(`Fairness of CRC-32 modulo ${SLOTS}: chi-squared (bound) and max/mean, by number of groups`)
console.log(`${'users'.padEnd(20)}${GROUPS.map((groups) => `${groups} groups`.padStart(20)).join('')}`)
for (const kind of Object.keys(kinds)) {
  const cells = rows
    .filter((row) => row.kind === kind)
    .map(
      ({ chiSquared, bound, maxOverMean }) =>
        `${chiSquared.toFixed(1)} (${bound.toFixed(0)}) ${maxOverMean.toFixed(3)}`,
    )
  console.log(`${kind.padEnd(20)}${cells.map((cell) => cell.padStart(20)).join('')}`)
}
console.log(
  unfair.length === 0
    ? 'All fair.'
    : `Unfair: ${unfair.map(({ kind, groups }) => `${kind} over ${groups}`).join(', ')}`,
)
console.log(
  `\nOwner look-up with ${PINS} pins: ${rate.microseconds.toFixed(3)} µs, ${rate.millionPerSec.toFixed(1)} million/s on one core (at least 3 wanted)`,
)
if (process.argv.includes('--json')) {
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
  console.log(JSON.stringify({ machine, fairness: rows, unfair: unfair.length, lookup: rate }))
}

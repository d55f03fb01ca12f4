import { cpus } from 'node:os'
import { pino } from 'pino'
import { WheelClock } from '../src/ops/clock.ts'
import { configSchema } from '../src/ops/config-schema.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { parseMessage } from '../src/sip/message.ts'
import { Guard } from '../stage1/guard.ts'

/**
 * What the guard costs a message: `npm run bench:guard [-- --json]`. CPU time, not wall time, of several runs, the median;
 * sources come in an order of their own, so that the processor's caches help no more than in earnest.
 */

const RUNS = 9
const MESSAGES = 500_000
/** A million forged sources beside the known ones. */
const FORGED = 1_000_000

const config = configSchema.parse({ stage1: { guard: { exempt: ['10.0.0.0/8', '2001:db8:ffff::/48'] } } })
  .stage1.guard
const clock = new WheelClock()
const log = pino({ level: 'silent' })

/** Without limits, so that what is measured is the admission. */
const open = { ...config, rate: 1_000_000, burst: 1_000_000, strangersRate: 10_000_000 }

/** The addresses as a socket gives them, each a flat string: one that was joined takes a detour at every character. */
const at = (address: string): Endpoint => ({
  transport: 'udp',
  address: Buffer.from(address, 'latin1').toString('latin1'),
  port: 5060,
})
const ipv4 = (i: number) => at(`${100 + (i >>> 24)}.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`)
const ipv6 = (i: number) => at(`2001:db8:${(i >>> 16).toString(16)}:${(i & 0xffff).toString(16)}::5`)
const trunk = (i: number) => at(`10.0.${(i >>> 8) & 255}.${i & 255}`)

/** Mixed, but the same every time. */
function mixed(count: number, make: (i: number) => Endpoint): Endpoint[] {
  const sources = Array.from({ length: count }, (_, i) => make(i))
  for (let i = count - 1, random = 1; i > 0; i--) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    const other = random % (i + 1)
    ;[sources[i], sources[other]] = [sources[other] as Endpoint, sources[i] as Endpoint]
  }
  return sources
}

/** Nanoseconds of CPU for each call. */
function timeOf(count: number, work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1000) / count
}

/** The least says what the work costs, the median what else the machine did. */
interface Cost {
  readonly leastNs: number
  readonly medianNs: number
}

function costOf(runs: number[]): Cost {
  const [leastNs = Number.NaN] = runs.sort((a, b) => a - b)
  return { leastNs, medianNs: runs[runs.length >> 1] ?? Number.NaN }
}

function each(sources: readonly Endpoint[], visit: (source: Endpoint) => void): Cost {
  const run = () =>
    timeOf(MESSAGES, () => {
      for (let i = 0, s = 0; i < MESSAGES; i++, s = s + 1 === sources.length ? 0 : s + 1)
        visit(sources[s] as Endpoint)
    })
  run()
  return costOf(Array.from({ length: RUNS }, run))
}

/** A batch's worth of messages goes by one reading of the clock. */
function admission(guard: Guard): (source: Endpoint) => void {
  let nowMs = clock.monotonicMs()
  let left = 32
  return (source) => {
    if (--left === 0) {
      left = 32
      nowMs = clock.monotonicMs()
    }
    guard.admits(source, nowMs)
  }
}

function known(
  count: number,
  make: (i: number) => Endpoint,
  prepare?: (guard: Guard, source: Endpoint) => void,
) {
  const guard = new Guard({ config: open, clock, log })
  const sources = mixed(count, make)
  for (const source of sources) {
    guard.admits(source)
    prepare?.(guard, source)
  }
  const ns = each(sources, admission(guard))
  guard.close()
  return ns
}

/** Every source for the first time: with places free, with all of them in use, and when strangers have used up their rate. */
function forged(): { costs: Record<string, Cost>; bytes: number; heapPerSource: number } {
  const sources = mixed(FORGED, ipv4)
  const free = config.maxSources / 2
  const [first, full, dropped]: [number[], number[], number[]] = [[], [], []]
  let [bytes, heapPerSource] = [0, 0]
  for (let run = 0; run < RUNS; run++) {
    const guard = new Guard({ config: open, clock, log })
    const admit = admission(guard)
    globalThis.gc?.()
    const heap = process.memoryUsage().heapUsed
    first.push(timeOf(free, () => visitAll(sources, 0, free, admit)))
    full.push(timeOf(FORGED - free, () => visitAll(sources, free, FORGED, admit)))
    globalThis.gc?.()
    heapPerSource = (process.memoryUsage().heapUsed - heap) / FORGED
    bytes = guard.bytes
    guard.close()
    const strict = new Guard({ config: { ...config, strangersRate: 1 }, clock, log })
    dropped.push(timeOf(FORGED, () => visitAll(sources, 0, FORGED, admission(strict))))
    strict.close()
  }
  const costs = {
    'new, places free': costOf(first),
    'new, all places in use': costOf(full),
    'new, over the rate of strangers': costOf(dropped),
  }
  return { costs, bytes, heapPerSource }
}

function visitAll(sources: readonly Endpoint[], from: number, to: number, visit: (source: Endpoint) => void) {
  for (let i = from; i < to; i++) visit(sources[i] as Endpoint)
}

/** For comparison, whatever the machine does at the time: the least that any memory of sources by their address costs. */
function mapGet(): Cost {
  const sources = mixed(4096, ipv4)
  const map = new Map(sources.map(({ address }) => [address, { messages: 0 }]))
  return each(sources, ({ address }) => {
    const found = map.get(address)
    if (found) found.messages++
  })
}

function userAgent(): Cost {
  const guard = new Guard({ config: open, clock, log })
  const requests = Array.from({ length: 64 }, (_, i) =>
    parseMessage(
      `REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK${i}\r\nCall-ID: ${i}\r\nUser-Agent: Phone of kind ${i & 31} 5.1.${i & 31}\r\n\r\n`,
    ),
  )
  const source = ipv4(1)
  let i = 0
  const ns = each([source], () => {
    const request = requests[i++ & 63]
    if (request) guard.noteRequest(request, source)
  })
  guard.close()
  return ns
}

function main(): void {
  const small = 4096
  const large = 100_000
  const results = {
    'known, IPv4, 4096 sources': known(small, ipv4),
    'known, IPv4, 100,000 sources': known(large, ipv4),
    'known, IPv6, 4096 sources': known(small, ipv6),
    'registered, IPv4, 4096 sources': known(small, ipv4, (guard, each) =>
      guard.noteAnswer(each, 200, 'REGISTER'),
    ),
    'exempt, IPv4, 4096 sources': known(small, trunk),
    'banned, IPv4, 4096 sources': known(small, ipv4, (guard, each) => {
      for (let i = 0; i < 60; i++) guard.noteRefused(each)
    }),
    'User-Agent of a request': userAgent(),
    'for comparison: Map.get, 4096 sources': mapGet(),
  }
  const { costs, bytes, heapPerSource } = forged()
  const all = { ...results, ...costs }
  console.log(
    `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}; ns of CPU per call, of ${RUNS} runs\n`,
  )
  console.log(`${''.padEnd(40)}${'least'.padStart(7)}${'median'.padStart(8)}`)
  for (const [name, { leastNs, medianNs }] of Object.entries(all))
    console.log(`${name.padEnd(40)}${leastNs.toFixed(0).padStart(7)}${medianNs.toFixed(0).padStart(8)}`)
  console.log(
    `\nafter ${FORGED.toLocaleString('en')} forged sources: ${(bytes / 1e6).toFixed(1)} MB in all, ${(bytes / config.maxSources).toFixed(0)} bytes a place, ${heapPerSource.toFixed(2)} bytes of heap a source`,
  )
  if (process.argv.includes('--json')) console.log(JSON.stringify({ node: process.version, ns: all, bytes }))
}

main()

import { readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread, Worker } from 'node:worker_threads'
import { BatchedTransport } from '../src/net/batched-transport.ts'
import type { InboundBatch, Transport, TransportEvents } from '../src/net/transport.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'

/**
 * Whether the batched transport grows with time: `npm run soak:udp -- --minutes 60 [--rate 2000] [--json]`. Each second: so many messages there
 * and back, some of the longest, sockets opened and closed (also inside a callback, also with messages queued), messages to a
 * peer that is gone, and a worker thread that opens sockets and ends without closing them.
 *
 * Memory after a collection, open files and threads are noted; the second half of the time must not need more than the first.
 */

const ADDRESS = '127.0.52.40'
/** RSS moves by that much for reasons of V8's own. */
const NOISE_BYTES = 8 * 1024 * 1024
const TICK_MS = 10

interface Sample {
  readonly second: number
  readonly rssBytes: number
  readonly heapBytes: number
  readonly externalBytes: number
  readonly files: number
  readonly threads: number
}

const nothing: TransportEvents = { onMessages: () => {}, onError: () => {} }
const open = (events: TransportEvents, peer?: Endpoint) =>
  BatchedTransport.open({ address: ADDRESS, port: 0, option: '--', ...(peer && { peer }) }, events)

class Soak {
  answers = 0
  refused = 0
  sent = 0
  #seed = 1
  readonly #transports: Transport[] = []

  async start(): Promise<void> {
    const echo = await open({
      onMessages(batch, transport) {
        for (let i = 0; i < batch.length; i++) transport.send(batch.text(i), batch.source(i))
      },
      onError: () => {},
    })
    this.#transports.push(echo)
    const onMessages = (batch: InboundBatch) => {
      this.answers += batch.length
    }
    for (const peer of [undefined, echo.local]) {
      this.#transports.push(await open({ onMessages, onError: () => {} }, peer))
    }
  }

  /** Some messages; one in a hundred is long. */
  exchange(count: number): void {
    const [echo, ...clients] = this.#transports
    if (!echo) return
    for (let i = 0; i < count; i++) {
      const length = this.#random(100) === 0 ? this.#random(65_000) : 300 + this.#random(900)
      clients[i % clients.length]?.send('x'.repeat(length), echo.local)
      this.sent++
    }
  }

  async disturb(): Promise<void> {
    const gone = await open(nothing)
    await gone.close()
    const caller = await open(
      {
        onMessages: () => {},
        onError: () => {
          this.refused++
        },
      },
      gone.local,
    )
    caller.send('anybody there?', gone.local)
    // Heard by one that closes itself while it hears.
    const brief = await open({ onMessages: (_, transport) => void transport.close(), onError: () => {} })
    const other = await open(nothing)
    for (let i = 0; i < 100; i++) other.send('bye', brief.local)
    await other.close()
    await delay(20)
    await Promise.all([caller.close(), brief.close()])
    const worker = new Worker(new URL(import.meta.url), { argv: [] })
    await new Promise((resolve) => worker.once('exit', resolve))
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()))
  }

  #random(below: number): number {
    this.#seed = (Math.imul(this.#seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (this.#seed >>> 8) % below
  }
}

function sample(second: number): Sample {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const count = (path: string) => readdirSync(path).length
  return {
    second,
    rssBytes: rss,
    heapBytes: heapUsed,
    externalBytes: external,
    files: count('/proc/self/fd'),
    threads: count('/proc/self/task'),
  }
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1)

/** What is more in the second half than in the first. */
function growth(samples: readonly Sample[]): string[] {
  // The first fifth is warming up.
  const settled = samples.slice(Math.floor(samples.length / 5))
  const [first, second] = [settled.slice(0, settled.length >> 1), settled.slice(settled.length >> 1)]
  const grown = (of: (sample: Sample) => number) => mean(second.map(of)) - mean(first.map(of))
  return [
    ...(grown((s) => s.rssBytes) > NOISE_BYTES ? ['memory'] : []),
    ...(grown((s) => s.files) > 0.5 ? ['open files'] : []),
    ...(grown((s) => s.threads) > 0.5 ? ['threads'] : []),
  ]
}

async function main(args: readonly string[]): Promise<void> {
  const option = (name: string, fallback: number) =>
    args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback
  const seconds = option('--minutes', 60) * 60
  const rate = option('--rate', 2000)
  const soak = new Soak()
  await soak.start()
  const exchange = setInterval(() => soak.exchange((rate * TICK_MS) / 1000), TICK_MS)
  const samples: Sample[] = []
  const every = Math.max(1, Math.round(seconds / 60))
  const start = performance.now()
  for (let second = 0; second <= seconds; second = Math.round((performance.now() - start) / 1000)) {
    await soak.disturb()
    if (second >= samples.length * every) {
      const now = sample(second)
      samples.push(now)
      console.log(
        `${String(second).padStart(6)} s  RSS ${mib(now.rssBytes)} MiB  heap ${mib(now.heapBytes)}  external ${mib(now.externalBytes)}  files ${now.files}  threads ${now.threads}  sent ${soak.sent}  answered ${soak.answers}  refused ${soak.refused}`,
      )
    }
    await delay(1000)
  }
  clearInterval(exchange)
  await delay(500)
  await soak.close()
  const grown = growth(samples)
  console.log(grown.length === 0 ? 'No growth.' : `Growth of ${grown.join(', ')}.`)
  const lost = soak.sent - soak.answers
  console.log(`${soak.sent} messages there and back, ${lost} lost, ${soak.refused} refusals heard`)
  if (args.includes('--json')) console.log(JSON.stringify({ seconds, rate, samples, grown, lost }))
  process.exitCode = grown.length === 0 && soak.answers > 0 && soak.refused > 0 ? 0 : 1
}

if (isMainThread) await main(process.argv.slice(2))
else {
  // Ends with its sockets open and messages queued.
  const socket = await open(nothing)
  const other = await open(nothing)
  for (let i = 0; i < 50; i++) socket.send('x'.repeat(1000), other.local)
  process.exit()
}

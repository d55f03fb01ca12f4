import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { BatchedTransport } from '../../src/net/batched-transport.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

/*
 * Run in a network namespace of its own: a neighbour whose hardware address nobody knows. What is sent to it stays in the
 * sender's buffer until that is full; when the address becomes known, it leaves.
 */

export interface FullLinkReport {
  /** Messages of the first burst. */
  readonly queued: number
  readonly blocked: { readonly sent: number; readonly overflowed: number }
  readonly after: Totals & { readonly overflowed: number; readonly errors: Readonly<Record<string, number>> }
  readonly closed: Totals
}

interface Totals {
  readonly asked: number
  readonly sent: number
  readonly failed: number
}

const QUEUED = 100
const ip = (...args: string[]) => execFileSync('ip', args)

async function open() {
  const errors: Record<string, number> = {}
  const transport = await BatchedTransport.open(
    { address: '198.51.100.1', port: 0, option: '--', bufferBytes: 8_192 },
    {
      onMessages: () => {},
      onError: ({ code = '' }) => {
        errors[code] = (errors[code] ?? 0) + 1
      },
    },
  )
  let asked = 0
  const send = (count: number, to: Endpoint) => {
    for (let i = 0; i < count; i++) transport.send('x'.repeat(1_000), to)
    asked += count
  }
  return { transport, errors, send, totals: () => ({ asked, ...transport.counters }) }
}

const neighbour = (host: number): Endpoint => ({
  transport: 'udp',
  address: `198.51.100.${host}`,
  port: 5060,
})

ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
ip('address', 'add', '198.51.100.1/24', 'dev', 'v0')
for (const name of ['v0', 'v1']) ip('link', 'set', name, 'up')

const { transport, errors, send, totals } = await open()
send(QUEUED, neighbour(9))
await delay(20)
const { sent, overflowed } = transport.counters
send(300, neighbour(9))
await delay(20)
ip('neighbour', 'replace', '198.51.100.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'v0')
for (let i = 0; i < 100 && totals().sent + totals().failed < totals().asked; i++) await delay(20)
const after = totals()
await transport.close()

const other = await open()
other.send(QUEUED, neighbour(10))
await delay(20)
await other.transport.close()

const report: FullLinkReport = {
  queued: QUEUED,
  blocked: { sent, overflowed },
  after: { ...after, errors },
  closed: other.totals(),
}
console.log(JSON.stringify(report))

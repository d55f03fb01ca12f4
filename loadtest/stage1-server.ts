import { pino } from 'pino'
import { openUdp, type UdpChoice } from '../src/net/udp.ts'
import { systemClock } from '../src/ops/clock.ts'
import { configSchema } from '../src/ops/config-schema.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import { type Cluster, udpEndpoint } from '../src/partition/cluster.ts'
import { PartitionMap } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { Worker } from '../stage1/worker.ts'

/*
 * A server under test of `bench:stage1`, a process of its own: one stage-1 worker as the product puts it together, with a
 * partition map that is not from a database; or a bare relay, which passes on what it gets.
 */

export interface ServerOrder {
  readonly role: 'worker' | 'relay'
  readonly udp: UdpChoice
  readonly outside: Endpoint
  readonly inside: Endpoint
  /** Stage 2, or what answers in its place. */
  readonly member: Endpoint
}

const KEY = Buffer.alloc(32, 7)
const option = '--'

async function startWorker({ udp, outside, inside, member }: ServerOrder): Promise<void> {
  const config = configSchema.parse({
    node: 's1',
    net: { udp },
    stage1: {
      edge: formatHostPort(outside),
      inside: formatHostPort(inside),
      // The load is judged as any source would be, and lives within these rates.
      guard: { exempt: [], rate: 1_000_000, burst: 1_000_000, strangersRate: 10_000_000 },
    },
  })
  const map = new PartitionMap({
    version: 1,
    domains: [{ name: 'example.com', realm: 'example.com', hashBy: 'user' }],
    groups: [{ name: 'a' }],
    members: [
      { group: 'a', node: 'a1', role: 'master', priority: 1, address: member.address, port: member.port },
    ],
    ranges: [{ first: 0, last: 16_383, group: 'a' }],
    pins: [],
  })
  const cluster: Cluster = {
    map,
    edges: [{ name: 's1', outside: [outside], inside: [inside] }],
    insideAddresses: new Set([inside.address, member.address]),
    keys: { current: KEY, previous: KEY },
  }
  await Worker.start({
    config,
    number: 0,
    isShared: true,
    cluster,
    clock: systemClock,
    log: pino({ level: 'info' }, pino.destination('/dev/null')),
    onMember: () => {},
  })
}

/** The least that a relay can do: a request goes to the member, a response to the address in its Via. */
async function startRelay({ udp: choice, outside, inside, member }: ServerOrder): Promise<void> {
  const clients = new Map<string, Endpoint>()
  const onError = () => {}
  const link = await openUdp(
    { choice, address: inside.address, port: 0, option, peer: member },
    {
      onMessages(batch) {
        for (let i = 0; i < batch.length; i++) {
          const text = batch.text(i)
          const start = text.indexOf('UDP ') + 4
          const client = text.slice(start, text.indexOf(';', start))
          let to = clients.get(client)
          if (!to) {
            const [address = '', port = ''] = client.split(':')
            to = udpEndpoint({ address, port: Number(port) })
            clients.set(client, to)
          }
          front.send(text, to)
        }
      },
      onError,
    },
  )
  const front = await openUdp(
    { choice, address: outside.address, port: outside.port, option },
    {
      onMessages(batch) {
        for (let i = 0; i < batch.length; i++) link.send(batch.text(i), member)
      },
      onError,
    },
  )
}

const order = JSON.parse(process.argv[2] ?? '{}') as ServerOrder
await (order.role === 'worker' ? startWorker(order) : startRelay(order))
process.on('disconnect', () => process.exit())
process.send?.({ type: 'ready' })

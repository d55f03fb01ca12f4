import { pino } from 'pino'
import { openUdp } from '../src/net/udp.ts'
import { systemClock } from '../src/ops/clock.ts'
import { udpEndpoint } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { Worker } from '../stage1/worker.ts'
import { type BenchNode, benchCluster, benchConfig } from './stage1-node.ts'

/*
 * A server under test of `bench:stage1`, a process of its own: one stage-1 worker as the product puts it together, with a
 * partition map that is not from a database; or a bare relay, which passes on what it gets.
 */

export interface ServerOrder extends BenchNode {
  readonly role: 'worker' | 'relay'
}

const option = '--'

async function startWorker(order: ServerOrder): Promise<void> {
  const config = benchConfig(order)
  await Worker.start({
    config,
    number: 0,
    isShared: true,
    cluster: benchCluster(config, order),
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

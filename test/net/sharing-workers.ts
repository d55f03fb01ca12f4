import cluster from 'node:cluster'
import { once } from 'node:events'
import { openUdp, type UdpChoice } from '../../src/net/udp.ts'

/* A cluster whose workers answer on one port, and the client that asks them: `sharing-workers.ts dgram|batched`. */

const WORKERS = 2
const REQUESTS = 200
const choice = process.argv[2] as UdpChoice
const at = { address: '127.0.52.4', port: choice === 'dgram' ? 5061 : 5062, option: '--', choice }

if (cluster.isWorker) {
  await openUdp(
    { ...at, shared: true },
    {
      onMessages(batch, transport) {
        for (let i = 0; i < batch.length; i++) transport.send(batch.text(i), batch.source(i))
      },
      onError: () => {},
    },
  )
  process.send?.('ready')
} else {
  const workers = Array.from({ length: WORKERS }, () => cluster.fork())
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const nothing = { onMessages: () => {}, onError: () => {} }
  const stranger = await openUdp(at, nothing).then(
    () => 'nothing',
    ({ code }) => code,
  )
  let answered = 0
  const client = await openUdp(
    { ...at, port: 0 },
    {
      onMessages(batch) {
        answered += batch.length
        if (answered < REQUESTS) return
        console.log(JSON.stringify({ answered, stranger }))
        for (const worker of workers) worker.kill()
        void client.close()
      },
      onError: () => {},
    },
  )
  for (let i = 0; i < REQUESTS; i++) client.send(`${i}`, { transport: 'udp', ...at })
}

import { parentPort, workerData } from 'node:worker_threads'
import { openUdp, type UdpChoice } from '../../src/net/udp.ts'

/* A thread of the transport suite: it sends back what it gets. */

const { choice, address } = workerData as { choice: UdpChoice; address: string }

const transport = await openUdp(
  { address, port: 0, option: 'some.option', choice },
  {
    onMessages(batch, transport) {
      for (let i = 0; i < batch.length; i++) transport.send(batch.text(i), batch.source(i))
    },
    onError: (error) => {
      throw error
    },
  },
)
parentPort?.postMessage([transport.local.port])

import t from 'tap'
import { BatchedTransport } from '../../src/net/batched-transport.ts'
import { loadUdpAddon } from '../../src/net/udp-addon.ts'
import { openSockets, udpTransportSuite } from './transport-suite.ts'

const addon = loadUdpAddon()
if (addon instanceof Error) {
  t.plan(0, `no native addon: ${addon.message}`)
  process.exit(0)
}

udpTransportSuite(t, (options, events) => BatchedTransport.open(options, events), '127.0.52.1')

t.test('no socket is left open', async (t) => {
  t.equal(await openSockets(), 0)
})

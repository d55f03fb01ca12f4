import t from 'tap'
import { DgramTransport } from '../../src/net/dgram-transport.ts'
import { openSockets, udpTransportSuite } from './transport-suite.ts'

udpTransportSuite(t, (options, events) => DgramTransport.open(options, events), '127.0.20.1')

t.test('no socket is left open', async (t) => {
  t.equal(await openSockets(), 0)
})

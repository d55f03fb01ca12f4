import t from 'tap'
import { openSockets, udpTransportSuite } from './transport-suite.ts'

udpTransportSuite(t, 'dgram', '127.0.20.1')

t.test('no socket is left open', async (t) => {
  t.equal(await openSockets(), 0)
})

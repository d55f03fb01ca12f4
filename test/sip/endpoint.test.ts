import t from 'tap'
import { defaultPort, isReliable, isTransportName } from '../../src/sip/endpoint.ts'

t.test('transports', async (t) => {
  t.notOk(isReliable({ transport: 'udp' }))
  for (const transport of ['tcp', 'tls', 'ws', 'wss'] as const) t.ok(isReliable({ transport }))
  t.same(['udp', 'tcp', 'tls', 'ws', 'wss', 'sctp'].map(defaultPort), [5060, 5060, 5061, 80, 443, 5060])
  t.ok(isTransportName('wss'))
  t.notOk(isTransportName('UDP'), 'lower case only')
  t.notOk(isTransportName('sctp'))
})

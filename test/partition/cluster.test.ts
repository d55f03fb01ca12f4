import t from 'tap'
import { isClusterSocket, udpEndpoint } from '../../src/partition/cluster.ts'
import { testCluster, udp } from '../support/cluster.ts'

t.test('stored addresses take the form of those on the wire', async (t) => {
  t.same(udpEndpoint({ address: '192.0.2.1', port: 5060 }), udp('192.0.2.1', 5060))
  t.same(udpEndpoint({ address: '2001:DB8:0:0::1', port: 5060 }), udp('2001:db8::1', 5060))
  t.same(udpEndpoint({ address: 'fe80::1%eth0', port: 5060 }), udp('fe80::1%eth0', 5060), 'left as it is')
})

t.test('the cluster knows its own sockets', async (t) => {
  const cluster = testCluster()
  for (const own of [udp('203.0.113.1', 5060), udp('192.0.2.60', 5160), udp('192.0.2.71', 5071)])
    t.ok(isClusterSocket(cluster, own), own.address)
  for (const other of [udp('203.0.113.1', 5061), udp('192.0.2.71', 5072), udp('198.51.100.1', 5060)])
    t.notOk(isClusterSocket(cluster, other), `${other.address}:${other.port}`)
})

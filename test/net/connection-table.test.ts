import t from 'tap'
import type { Connection } from '../../src/net/connection.ts'
import { ConnectionTable } from '../../src/net/connection-table.ts'

let number = 100
const connection = (address: string, port: number, isAccepted = true) => {
  number++
  const remote = { transport: 'tcp' as const, address, port, connection: number }
  return { number, remote, isAccepted } as Connection
}

t.test('a network is an IPv4 address, or the /64 of an IPv6 address', async (t) => {
  const table = new ConnectionTable()
  const together = [
    ['192.0.2.1'],
    ['192.0.2.2'],
    ['2001:db8:0:7::1', '2001:db8:0:7::', '2001:db8:0:7:1:2:3:4', '2001:db8::7:0:0:0:5'],
    ['2001:db8::7', '2001:db8::1:2:3:4', '2001:db8::'],
    ['::1', '::', '::ffff:192.0.2.1', '::1:2:3:4'],
    ['1::8', '1:0:0:0:2::'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::', '1:2:3:4:5::'],
  ]
  for (const addresses of together) for (const address of addresses) table.add(connection(address, 5060))
  for (const addresses of together) {
    for (const address of addresses) t.equal(table.from(address), addresses.length, address)
  }
  t.equal(table.from('2001:db8:0:8::1'), 0)
})

t.test('what is opened is not counted to a source', async (t) => {
  const table = new ConnectionTable()
  const [accepted, opened] = [connection('192.0.2.1', 1), connection('192.0.2.1', 5060, false)]
  table.add(accepted)
  table.add(opened)
  const counts = () => [table.size, table.acceptedCount, table.openedCount, table.from('192.0.2.1')]
  t.same(counts(), [2, 1, 1, 1])
  table.remove(opened)
  table.remove(opened)
  t.same(counts(), [1, 1, 1, 1], 'what is ending still counts')
  table.forget(opened)
  t.same(counts(), [1, 1, 0, 1])
  table.forget(accepted)
  t.same(counts(), [0, 0, 0, 0])
})

t.test('the connections of a source share a meter', async (t) => {
  const table = new ConnectionTable()
  const meter = table.meterOf('2001:db8::1')
  const first = connection('2001:db8::1', 1)
  table.add(first)
  t.equal(table.meterOf('2001:db8::2'), meter)
  t.not(table.meterOf('2001:db8:0:1::2'), meter)
  table.forget(first)
  t.not(table.meterOf('2001:db8::1'), meter, 'without connections it is forgotten')
})

t.test('one that came from there goes before one that was opened to there', async (t) => {
  const table = new ConnectionTable()
  const [accepted, opened] = [connection('192.0.2.1', 5060), connection('192.0.2.1', 5060, false)]
  table.add(opened)
  t.equal(table.towards(opened.remote), opened)
  table.add(accepted)
  t.equal(table.towards(opened.remote), accepted)
  t.equal(table.held(opened.remote), opened, 'by its number it is found')
  t.equal(table.towards({ ...opened.remote, port: 5061 }), undefined)
})

t.test('a client that comes back from the same port before it is known to be gone', async (t) => {
  const table = new ConnectionTable()
  const [before, after] = [connection('192.0.2.1', 5060), connection('192.0.2.1', 5060)]
  table.add(before)
  table.add(after)
  table.remove(before)
  t.equal(table.towards(after.remote), after)
  t.equal(table.held(before.remote), undefined)
  t.equal(table.held({ ...after.remote, address: '192.0.2.2' }), undefined, 'a number of somebody else')
  t.equal(table.held({ ...after.remote, port: 1 }), undefined)
  const { connection: _, ...place } = after.remote
  t.equal(table.held(place), undefined)
})

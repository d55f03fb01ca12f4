import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { loadConfig } from '../../src/ops/config.ts'
import { createLogger } from '../../src/ops/logging.ts'
import { Worker } from '../../stage1/worker.ts'
import { edgeNodeOf, shownAddresses, wantedPorts } from '../../stage1/worker-addresses.ts'
import { openSockets } from '../net/transport-suite.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { clusterOf, mapOf, requestLines, text } from './fixture.ts'

const HOST = '127.0.57.2'
const config = loadConfig({
  env: {
    TANDEM_NODE: 's1',
    TANDEM_STAGE1_EDGE: `${HOST}:5060`,
    TANDEM_STAGE1_INSIDE: `${HOST}:5160`,
    TANDEM_STAGE1_WORKERS: '2',
  },
})

const start = (clock: FakeClock) =>
  Worker.start({
    config,
    number: 1,
    isShared: false,
    cluster: clusterOf({ map: mapOf([]) }),
    clock,
    log: createLogger({ level: 'silent', format: 'json' }, { node: 's1' }),
    onMember: () => {},
  })

t.test('the addresses of a node: inside ports follow each other', async (t) => {
  const both = {
    ...config,
    stage1: { ...config.stage1, edge: [...config.stage1.edge, { address: '::1', port: 5060 }] },
  }
  const node = edgeNodeOf(both)
  t.same(shownAddresses(node), {
    edge: `${HOST}:5060, [::1]:5060`,
    inside: `${HOST}:5160, ${HOST}:5161`,
  })
  t.same(
    wantedPorts(node).map(
      ({ protocol, address, port, option }) => `${protocol} ${address} ${port} ${option}`,
    ),
    [
      `udp ${HOST} 5060 stage1.edge`,
      'udp ::1 5060 stage1.edge',
      `tcp ${HOST} 5060 stage1.edge`,
      'tcp ::1 5060 stage1.edge',
      `udp ${HOST} 5160 stage1.inside`,
      `udp ${HOST} 5161 stage1.inside`,
    ],
  )
})

t.test(
  'it answers at the outside face, works by the map that it is given, and closes all that it has opened',
  async (t) => {
    const clock = new FakeClock()
    const worker = await start(clock)
    t.equal(worker.mapVersion, 7)
    const client = createSocket('udp4').bind(0, HOST)
    await once(client, 'listening')
    const { port } = client.address()
    const lines = requestLines('OPTIONS', `sip:${HOST}:5060`).map((line) =>
      line.replace('198.51.100.7:40001', `${HOST}:${port}`),
    )
    client.send(text(lines), 5060, HOST)
    const [answer] = (await once(client, 'message')) as [Buffer]
    t.match(String(answer), /^SIP\/2\.0 200 OK/)
    client.close()
    await worker.adopt(clusterOf({ map: mapOf([], 8) }))
    t.equal(worker.mapVersion, 8)
    await worker.close()
    t.same([clock.pending, await openSockets()], [0, 0])
  },
)

for (const [what, hold] of [
  ['TCP at the edge', () => createServer().listen(5060, HOST)],
  ['its own port inside', () => createSocket('udp4').bind(5161, HOST)],
] as const) {
  t.test(`half a start leaves nothing open: ${what} is taken`, async (t) => {
    const holder = hold()
    await once(holder, 'listening')
    const clock = new FakeClock()
    await t.rejects(start(clock), { code: 'PORT_TAKEN', hint: /set stage1\.(edge|inside)/ })
    holder.close()
    await once(holder, 'close')
    t.same([clock.pending, await openSockets()], [0, 0])
  })
}

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import t from 'tap'
import { requirePorts } from '../../src/net/port-check.ts'

const HOST = '127.0.41.1'

t.test('free ports', async (t) => {
  await requirePorts([
    { protocol: 'udp', address: HOST, port: 5060, option: 'x' },
    { protocol: 'tcp', address: HOST, port: 5060, option: 'x' },
  ])
  await requirePorts([{ protocol: 'udp', address: HOST, port: 5060, option: 'x' }])
  t.pass('and they are free again afterwards')
})

t.test('taken ports: which, by whom, and what moves them', async (t) => {
  const udp = createSocket('udp4').bind(5060, HOST)
  const tcp = createServer().listen(5433, HOST)
  await Promise.all([once(udp, 'listening'), once(tcp, 'listening')])
  t.teardown(() => {
    udp.close()
    tcp.close()
  })
  const by = existsSync('/proc/net/udp') ? ` (pid ${process.pid}, node)` : ''
  const checked = requirePorts([
    { protocol: 'udp', address: HOST, port: 5060, option: 'up.edgePorts' },
    { protocol: 'udp', address: HOST, port: 5062, option: 'up.edgePorts' },
    { protocol: 'tcp', address: HOST, port: 5433, option: 'up.databasePort' },
  ])
  await t.rejects(checked, {
    code: 'PORT_TAKEN',
    message: [
      `UDP ${HOST}:5060 is taken by another process${by}; stop it, or set up.edgePorts`,
      `TCP ${HOST}:5433 is taken by another process${by}; stop it, or set up.databasePort`,
    ].join('\n'),
  })
})

t.test('an address of somebody else', async (t) => {
  const checked = requirePorts([{ protocol: 'udp', address: '192.0.2.1', port: 5060, option: 'up.host' }])
  await t.rejects(checked, {
    code: 'ADDRESS_UNAVAILABLE',
    message: /192\.0\.2\.1:5060 .*set up\.host to an address/,
  })
})

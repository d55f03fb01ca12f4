import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { BatchedTransport } from '../../src/net/batched-transport.ts'
import { DgramTransport } from '../../src/net/dgram-transport.ts'
import { openUdp, udpImplementation } from '../../src/net/udp.ts'
import { loadUdpAddon } from '../../src/net/udp-addon.ts'

const ADDRESS = '127.0.52.3'
const events = { onMessages: () => {}, onError: () => {} }
const isLoaded = !(loadUdpAddon() instanceof Error)

t.test('the operator decides, else what can be had', async (t) => {
  t.same(udpImplementation('dgram'), { name: 'dgram', reason: 'net.udp says so' })
  t.equal(udpImplementation('batched').name, 'batched')
  t.match(
    udpImplementation(),
    isLoaded ? { name: 'batched' } : { name: 'dgram', reason: /^no native addon: / },
  )
  const [auto, dgram] = await Promise.all([
    openUdp({ address: ADDRESS, port: 0, option: '--' }, events),
    openUdp({ address: ADDRESS, port: 0, option: '--', choice: 'dgram' }, events),
  ])
  t.type(auto, isLoaded ? BatchedTransport : DgramTransport)
  t.type(dgram, DgramTransport)
  await Promise.all([auto.close(), dgram.close()])
})

const run = promisify(execFile)
const sharing = (choice: string) =>
  run(process.execPath, [
    '--import=tsx',
    fileURLToPath(new URL('./sharing-workers.ts', import.meta.url)),
    choice,
  ])

for (const choice of ['dgram', ...(isLoaded ? ['batched'] : [])]) {
  t.test(`${choice}: the workers of a cluster share a port, and nobody else`, async (t) => {
    const { stdout } = await sharing(choice)
    t.same(JSON.parse(stdout), { answered: 200, stranger: 'PORT_TAKEN' })
  })
}

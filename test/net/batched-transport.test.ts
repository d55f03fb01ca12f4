import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { BatchedTransport } from '../../src/net/batched-transport.ts'
import type { InboundBatch, TransportEvents, UdpOptions } from '../../src/net/transport.ts'
import { loadUdpAddon } from '../../src/net/udp-addon.ts'
import { needsLab } from '../support/lab.ts'
import type { FullLinkReport } from './full-link.ts'
import { openSockets, udpTransportSuite } from './transport-suite.ts'

const ADDRESS = '127.0.52.1'

const addon = loadUdpAddon()
if (addon instanceof Error) {
  t.pass('skipped', { skip: `no native addon: ${addon.message}` })
  process.exit()
}

const run = promisify(execFile)
const fixture = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const silent: TransportEvents = { onMessages: () => {}, onError: () => {} }

async function open(t: Test, options: Partial<UdpOptions> = {}, events: Partial<TransportEvents> = {}) {
  const transport = await BatchedTransport.open(
    { address: ADDRESS, port: 0, option: 'some.option', ...options },
    { ...silent, ...events },
  )
  t.teardown(() => transport.close())
  return transport
}

function deferred() {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

udpTransportSuite(t, 'batched', ADDRESS)

t.test('many messages come as few batches', async (t) => {
  const sizes: number[] = []
  const { promise, resolve } = deferred()
  const b = await open(t, {}, { onMessages: (batch) => sizes.push(batch.length) === 4 && resolve() })
  const a = await open(t)
  for (let i = 0; i < 256; i++) a.send(`${i}`, b.local)
  await promise
  t.same(sizes, [64, 64, 64, 64])
  t.match(b.counters, { received: 256, batches: 4 })
})

t.test('a source is one object for as long as it is remembered', async (t) => {
  const { promise, resolve } = deferred()
  const b = await open(
    t,
    {},
    {
      onMessages(batch) {
        t.equal(batch.source(0), batch.source(1))
        t.throws(() => Object.assign(batch.source(0), { port: 1 }), TypeError)
        resolve()
      },
    },
  )
  const a = await open(t)
  a.send('one', b.local)
  a.send('two', b.local)
  await promise
})

t.test('what the kernel drops for want of room is counted', async (t) => {
  let received = 0
  const last = deferred()
  const onMessages = (batch: InboundBatch) => {
    received += batch.length
    if (batch.text(batch.length - 1) === 'more') last.resolve()
  }
  const b = await open(t, { bufferBytes: 4_096 }, { onMessages })
  const a = await open(t)
  for (let i = 0; i < 500; i++) a.send('x'.repeat(500), b.local)
  while (received === 0) await new Promise((resolve) => setImmediate(resolve))
  // The kernel tells of its drops along with the next message that it does not drop.
  a.send('more', b.local)
  await last.promise
  const { dropped = 0 } = b.counters
  t.ok(dropped > 0)
  t.equal(received + dropped, a.counters.sent)
})

t.test('a shared port: only among those who share it', async (t) => {
  let heard = 0
  const all = deferred()
  const events = {
    onMessages: (batch: { length: number }) => {
      heard += batch.length
      if (heard === 64) all.resolve()
    },
  }
  const first = await open(t, { shared: true }, events)
  const second = await open(t, { shared: true, port: first.local.port }, events)
  await t.rejects(open(t, { port: first.local.port }), { code: 'PORT_TAKEN' })
  const own = await open(t)
  await t.rejects(open(t, { port: own.local.port, shared: true }), { code: 'PORT_TAKEN' })
  for (let i = 0; i < 64; i++) (await open(t)).send('x', first.local)
  await all.promise
  // Each client by itself is a throw of a coin.
  t.ok(first.counters.received > 0 && second.counters.received > 0)
})

t.test(
  'an exception while messages are delivered is for the process to deal with, and nobody else’s loss',
  async (t) => {
    const { stdout } = await run(process.execPath, ['--import=tsx', fixture('throwing-listener.ts')])
    t.same(JSON.parse(stdout), { uncaught: ['a bug'], heard: ['answered before', 'heard after'] })
  },
)

t.test('a link that takes no more', { skip: needsLab() }, async (t) => {
  const { stdout } = await run('unshare', [
    '--net',
    process.execPath,
    '--import=tsx',
    fixture('full-link.ts'),
  ])
  const { queued, blocked, after, closed } = JSON.parse(stdout) as FullLinkReport
  t.ok(blocked.sent < queued, 'the kernel has not taken all')
  t.equal(blocked.overflowed, 0)
  t.ok(after.overflowed > 0, 'the queue is bounded')
  t.equal(after.errors.ENOBUFS, after.overflowed, 'and what finds it full is reported')
  t.equal(after.sent + after.failed, after.asked, 'the rest has left when the link was there')
  t.equal(closed.sent + closed.failed, closed.asked, 'what waits at the end is counted as failed')
})

t.test('no socket is left open', async (t) => {
  t.equal(await openSockets(), 0)
})

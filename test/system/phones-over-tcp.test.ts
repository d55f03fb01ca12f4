import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { Baresip } from '../support/baresip.ts'
import { needs } from '../support/debian-tool.ts'
import { credentials, Sipp, type SippOptions } from '../support/sipp.ts'
import { Tandem } from '../support/tandem.ts'

const HOST = '127.0.53.20'

/** As in /proc/net/tcp. */
const ESTABLISHED = '01'
const hexOf = (address: string) =>
  address
    .split('.')
    .reverse()
    .map((byte) => Number(byte).toString(16).padStart(2, '0').toUpperCase())
    .join('')

t.test('phones over TCP', { skip: needs('baresip') }, async (t) => {
  const tandem = await Tandem.start({ host: HOST, databasePort: 15690, dataDir: await Tandem.newDataDir() })
  t.teardown(() => tandem.destroy())
  const [edge = { address: HOST, port: 5060 }, otherEdge = edge] = tandem.edges

  const phone = async (user: string, server: typeof edge, port: number, transport: 'tcp' | 'udp') => {
    const phone = await Baresip.start({ user, server, address: HOST, port, transport })
    t.teardown(() => phone.close())
    return phone
  }
  // Each is reached over the one connection that it has opened, which one worker of one node holds.
  const alice = await phone('alice', edge, 6300, 'tcp')
  const bob = await phone('bob', otherEdge, 6320, 'tcp')
  const carol = await phone('carol', edge, 6340, 'udp')

  /** Connections that a node has, as the kernel tells them. */
  const connectionsTo = ({ port }: typeof edge) => {
    const local = `${hexOf(HOST)}:${port.toString(16).padStart(4, '0').toUpperCase()}`
    const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n')
    return lines.filter((line) => line.split(/ +/)[2] === local && line.split(/ +/)[4] === ESTABLISHED).length
  }

  const call = async (t: Test, caller: Baresip, callee: Baresip, user: string, last: Baresip) => {
    await caller.dial(`sip:${user}@example.com`)
    t.match(await caller.event('CALL_ESTABLISHED'), { direction: 'outgoing' })
    t.match(await callee.event('CALL_ESTABLISHED'), { direction: 'incoming' })
    await last.hangUp()
    await Promise.all([caller, callee].map((phone) => phone.event('CALL_CLOSED')))
  }

  t.test('call each other, and either hangs up', async (t) => {
    await call(t, alice, bob, 'bob', alice)
    await call(t, alice, bob, 'bob', bob)
    await call(t, bob, alice, 'alice', bob)
    await call(t, bob, alice, 'alice', alice)
  })

  t.test('call and are called by a phone over UDP', async (t) => {
    await call(t, alice, carol, 'carol', carol)
    await call(t, carol, bob, 'bob', carol)
    await call(t, carol, alice, 'alice', alice)
  })

  t.test('open a connection for each call, if they like', { skip: needs('sipp') }, async (t) => {
    const sipp = async (options: Omit<SippOptions, 'server' | 'address'>) => {
      const run = await Sipp.start({ server: edge, address: HOST, ...options })
      t.teardown(() => run.close())
      return run
    }
    t.match(
      await (
        await sipp({ scenario: 'register', port: 6380, rows: [credentials('dave')], calls: 1 })
      ).report(),
      { exitCode: 0 },
    )
    const calls = 30
    const answering = await sipp({ scenario: 'answer', port: 6380, calls })
    const rows = [['carol', 'dave']]
    const calling = await sipp({
      scenario: 'call',
      port: 6390,
      rows,
      calls,
      callsPerSec: 20,
      transport: 'tcp',
    })
    for (const run of [calling, answering])
      t.match(await run.report(), { exitCode: 0, successful: calls, failed: 0 })
  })

  t.test('are called through the slave when their master has died', async (t) => {
    await tandem.killNode('a1')
    await tandem.says(/member a1 is down/)
    await call(t, alice, bob, 'bob', alice)
    await call(t, bob, alice, 'alice', bob)
    t.same([edge, otherEdge].map(connectionsTo), [1, 1], 'the connection of each phone has been enough')
  })

  t.test('are not there any more when their connection is not', async (t) => {
    await bob.close()
    await alice.dial('sip:bob@example.com')
    // At once, and not when a transaction times out.
    t.match(await alice.event('CALL_CLOSED'), { param: /^(?:430|480) / })
    t.equal(connectionsTo(edge), 1)
    t.equal(connectionsTo(otherEdge), 0)
  })
})

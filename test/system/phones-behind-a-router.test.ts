import t, { type Test } from 'tap'
import { Baresip } from '../support/baresip.ts'
import { needs } from '../support/debian-tool.ts'
import { Lab, needsLab } from '../support/lab.ts'
import { Phone } from '../support/phone.ts'

/*
 * Two phones in a private network behind a masquerading router, one on UDP and one on TCP, and an operator's seven hosts
 * on the other side. Nobody but their edges can reach the phones, and these only by the flows they have registered over.
 */
t.test('phones behind a router', { skip: needsLab() || needs('baresip') }, async (t) => {
  const lab = await Lab.open(t, 81)
  const nodes = await lab.startTandem(t)
  const { namespace, address } = await lab.natted('home', 50)
  const phone = async (user: string, transport: 'udp' | 'tcp', edge: string, port: number) => {
    const server = { address: edge, port: 5060 }
    const phone = await Baresip.start({ user, server, transport, namespace, address, port })
    t.teardown(() => phone.close())
    return phone
  }
  const alice = await phone('alice', 'udp', nodes.s1.address, 6100)
  const bob = await phone('bob', 'tcp', nodes.s2.address, 6120)
  const carol = await Phone.open({
    address: lab.address(1),
    user: 'carol',
    domain: 'example.com',
    password: 'carol-secret',
    // Of each call through another node.
    servers: [
      { address: nodes.s1.address, port: 5060 },
      { address: nodes.s2.address, port: 5060 },
    ],
  })
  t.teardown(() => carol.close())

  const areCalled = async (t: Test) => {
    for (const [user, callee] of Object.entries({ alice, bob })) {
      const call = await carol.call(`sip:${user}@example.com`)
      t.equal(call.final.status, 200, `${user} answers`)
      t.match(await callee.event('CALL_ESTABLISHED'), { direction: 'incoming' })
      t.equal((await call.hangUp()).status, 200)
      await callee.event('CALL_CLOSED')
    }
  }

  const callEachOther = async (t: Test) => {
    for (const [caller, callee, user] of [
      [alice, bob, 'bob'],
      [bob, alice, 'alice'],
    ] as const) {
      await caller.dial(`sip:${user}@example.com`)
      t.match(await caller.event('CALL_ESTABLISHED'), { direction: 'outgoing' })
      t.match(await callee.event('CALL_ESTABLISHED'), { direction: 'incoming' })
      // The called one hangs up: a request against the direction of the dialog.
      await callee.hangUp()
      await Promise.all([caller, callee].map((phone) => phone.event('CALL_CLOSED')))
    }
  }

  await t.test('are called', areCalled)
  await t.test('call each other', callEachOther)
  await t.test('are called when the masters of both groups are dead', async (t) => {
    await Promise.all([nodes.a1.kill(), nodes.b1.kill()])
    await areCalled(t)
    await callEachOther(t)
  })
})

import t, { type Test } from 'tap'
import { Baresip } from '../support/baresip.ts'
import { DebianTool, needs, type Program } from '../support/debian-tool.ts'
import { Tandem } from '../support/tandem.ts'

const HOST = '127.0.143.2'

t.test('real phones', { skip: needs('baresip') }, async (t) => {
  const tandem = await Tandem.start({
    host: HOST,
    databasePort: 15643,
    dataDir: await Tandem.newDataDir(),
  })
  t.teardown(() => tandem.destroy())
  const [edge = { address: HOST, port: 5060 }, otherEdge = edge] = tandem.edges

  await tandem.says(/group a: a1 master.*\n +users bob/)
  await tandem.says(/group b: b1 master.*\n +users alice/)

  // Waited for, so that only one phone of each user answers.
  await t.test('what it says to try works', { skip: needs('sipsak') }, async (t) => {
    const run = async (command: RegExp) => {
      const [, line = ''] = await tandem.says(command)
      // No shell, so that the program itself is what is stopped.
      const words = line.match(/'[^']*'|[^ ]+/g) ?? []
      const [program = '', ...args] = words.map((word) => word.replaceAll("'", ''))
      const tool = await DebianTool.start(program as Program, args)
      t.teardown(() => tool.kill())
      return tool
    }
    t.equal(await (await run(/(sipsak .*)/)).exited, 0)
    const bob = await run(/(baresip -f .*bob)$/m)
    await bob.says(/200 OK/)
    const alice = await run(/(baresip -f .*alice -e .*)/)
    await Promise.all([alice, bob].map((phone) => phone.says(/Call established/)))
    // So that they are registered no longer.
    await Promise.all([alice.stop(), bob.stop()])
  })

  // At different stage-1 nodes, and in different groups.
  const alice = await Baresip.start({ user: 'alice', server: edge, address: HOST, port: 6100 })
  t.teardown(() => alice.close())
  const bob = await Baresip.start({ user: 'bob', server: otherEdge, address: HOST, port: 6120 })
  t.teardown(() => bob.close())

  const established = async (t: Test, caller: Baresip, callee: Baresip) => {
    t.match(await caller.event('CALL_ESTABLISHED'), { direction: 'outgoing' })
    t.match(await callee.event('CALL_ESTABLISHED'), { direction: 'incoming' })
  }

  const closed = (...phones: Baresip[]) => Promise.all(phones.map((phone) => phone.event('CALL_CLOSED')))

  t.test('alice dials bob, and she hangs up', async (t) => {
    await alice.dial('sip:bob@example.com')
    await established(t, alice, bob)
    await alice.hangUp()
    await closed(alice, bob)
  })

  t.test('bob dials alice, and she hangs up', async (t) => {
    await bob.dial('sip:alice@example.com')
    await established(t, bob, alice)
    await alice.hangUp()
    await closed(alice, bob)
  })

  t.test('sipsak sees that a phone is there', { skip: needs('sipsak') }, async (t) => {
    const probe = await DebianTool.start('sipsak', ['-vv', '-p', `${HOST}:5060`, '-s', 'sip:bob@example.com'])
    t.teardown(() => probe.kill())
    t.equal(await probe.exited, 0)
    t.match(probe.output, /SIP\/2\.0 200 OK[\s\S]*baresip/)
  })

  t.test('a call outlives the master of the callee, and the next one goes through the slave', async (t) => {
    await alice.dial('sip:bob@example.com')
    await established(t, alice, bob)
    await tandem.killNode('a1')
    await bob.hangUp()
    await closed(alice, bob)

    await alice.dial('sip:bob@example.com')
    await established(t, alice, bob)
    await tandem.says(/member a1 is down/)
    await alice.hangUp()
    await closed(alice, bob)
  })
})

import t, { type Test } from 'tap'
import { DebianTool, needs } from '../support/debian-tool.ts'
import { credentials, Sipp, type SippOptions } from '../support/sipp.ts'
import { Tandem } from '../support/tandem.ts'

const HOST = '127.0.143.1'

const noSipp = needs('sipp')
const noSipsak = needs('sipsak')

t.test('real clients', { skip: noSipp && noSipsak && needs('sipp', 'sipsak') }, async (t) => {
  const tandem = await Tandem.start({
    host: HOST,
    databasePort: 15543,
    dataDir: await Tandem.newDataDir(),
  })
  t.teardown(() => tandem.destroy())
  const [edge = { address: HOST, port: 5060 }, otherEdge = edge] = tandem.edges

  const sipp = async (options: Omit<SippOptions, 'server' | 'address'> & Partial<SippOptions>) => {
    const run = await Sipp.start({ server: edge, address: HOST, ...options })
    t.teardown(() => run.close())
    return run
  }

  const register = async (port: number, ...users: string[]) => {
    const rows = users.map(credentials)
    return sipp({ scenario: 'register', port, rows, calls: users.length })
  }

  /** All calls go by the scenario. A busy machine may make a client send again, but not at every call. */
  const wentWell = async (t: Test, calls: number, ...runs: Sipp[]) => {
    for (const run of runs) {
      const { errors, retransmissions, strayMessages, ...report } = await run.report()
      t.same(report, { exitCode: 0, successful: calls, failed: 0 }, 'the calls of a run', { errors })
      const few = 2 + calls / 10
      t.ok(retransmissions <= few, `retransmissions: ${retransmissions}`)
      t.ok(strayMessages <= few, `stray messages: ${strayMessages}`)
    }
  }

  const sipsak = async (...args: string[]) => {
    // The proxy has to come before the URI, or sipsak asks DNS for the domain.
    const run = await DebianTool.start('sipsak', ['-vvv', '-p', `${HOST}:5060`, ...args])
    t.teardown(() => run.kill())
    return { exitCode: await run.exited, output: run.output }
  }

  t.test('sipsak gets an answer from the node, and about users', { skip: noSipsak }, async (t) => {
    t.match(await sipsak('-s', `sip:${HOST}:5060`), { exitCode: 0, output: /SIP\/2\.0 200 OK[\s\S]*Allow: / })
    t.match(await sipsak('-s', 'sip:example.com'), { exitCode: 0, output: /SIP\/2\.0 200 OK/ })
    t.match(await sipsak('-s', 'sip:alice@example.com'), { exitCode: 1, output: /SIP\/2\.0 480 / })
    t.match(await sipsak('-s', 'sip:nobody@example.com'), { exitCode: 1, output: /SIP\/2\.0 404 / })
  })

  t.test('sipsak registers alice with digest, and removes her', { skip: noSipsak }, async (t) => {
    const alice = ['-s', 'sip:alice@example.com', '-u', 'alice']
    const here = ['-U', '-C', `sip:alice@${HOST}:6000`, '-x', '600']
    t.match(await sipsak(...here, ...alice, '-a', 'alice-secret'), {
      exitCode: 0,
      output: /Contact: <sip:alice@127\.0\.143\.1:6000>;expires=600/,
    })
    t.match(await sipsak(...here, ...alice, '-a', 'a-guess'), { exitCode: 2, output: /authorization failed/ })
    t.match(await sipsak('-U', '-C', '*', '-x', '0', ...alice, '-a', 'alice-secret'), { exitCode: 0 })
    t.match(await sipsak('-s', 'sip:alice@example.com'), { exitCode: 1, output: /SIP\/2\.0 480 / })
  })

  t.test('sipp registers users of both groups and makes fifty calls', { skip: noSipp }, async (t) => {
    await wentWell(t, 2, await register(6070, 'alice', 'bob'))
    const phone = await sipp({ scenario: 'answer', port: 6070, calls: 50 })
    const caller = await sipp({
      scenario: 'call',
      port: 6080,
      rows: [
        ['alice', 'bob'],
        ['bob', 'alice'],
      ],
      calls: 50,
      callsPerSec: 20,
    })
    await wentWell(t, 50, caller, phone)
  })

  t.test('the other stage-1 node reaches them just as well', { skip: noSipp }, async (t) => {
    const phone = await sipp({ scenario: 'answer', port: 6070, calls: 10 })
    const caller = await sipp({
      scenario: 'call',
      server: otherEdge,
      port: 6080,
      rows: [['alice', 'bob']],
      calls: 10,
    })
    await wentWell(t, 10, caller, phone)
  })

  t.test('a caller who gives up stops the ringing', { skip: noSipp }, async (t) => {
    await wentWell(t, 1, await register(6071, 'carol'))
    const phone = await sipp({ scenario: 'ring', port: 6071, calls: 3 })
    const caller = await sipp({ scenario: 'call-cancel', port: 6080, rows: [['bob', 'carol']], calls: 3 })
    await wentWell(t, 3, caller, phone)
  })

  t.test('a caller hears that the phone is busy', { skip: noSipp }, async (t) => {
    await wentWell(t, 1, await register(6072, 'dave'))
    const phone = await sipp({ scenario: 'busy', port: 6072, calls: 3 })
    const caller = await sipp({ scenario: 'call-busy', port: 6080, rows: [['alice', 'dave']], calls: 3 })
    await wentWell(t, 3, caller, phone)
  })

  t.test('calls go on when the master of the callee dies', { skip: noSipp }, async (t) => {
    await tandem.says(/group a: a1 master.*\n +users bob/)
    const phone = await sipp({ scenario: 'answer', port: 6070, calls: 10 })
    await tandem.killNode('a1')
    const caller = await sipp({ scenario: 'call', port: 6080, rows: [['alice', 'bob']], calls: 10 })
    await wentWell(t, 10, caller, phone)
    await tandem.says(/member a1 is down/)
  })
})

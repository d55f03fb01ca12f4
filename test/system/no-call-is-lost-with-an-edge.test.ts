import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Answering, CallLoad } from '../support/call-load.ts'
import { Tandem } from '../support/tandem.ts'

/** A longer run: TEST_KILLS=40 TEST_RATE=500. */
const KILLS = Number(process.env.TEST_KILLS ?? 3)
const RATE = Number(process.env.TEST_RATE ?? 60)
const BETWEEN_KILLS_MS = 1_000
const HOST = '127.0.57.20'

t.test(
  `${KILLS} kills of stage-1 nodes and workers under ${RATE} calls/s`,
  { timeout: 120_000 + KILLS * 10_000 },
  async (t) => {
    const tandem = await Tandem.start({
      host: HOST,
      databasePort: 15667,
      dataDir: await Tandem.newDataDir(),
      workers: 2,
    })
    t.teardown(() => tandem.destroy())
    const answering: Answering = new Answering(() => bob.contact)
    const bob = await tandem.phone('bob', { serve: answering.serve })
    t.teardown(async () => {
      answering.close()
      await bob.close()
    })
    t.equal((await bob.register()).status, 200)

    const load = await CallLoad.start({
      address: HOST,
      servers: tandem.edges,
      target: bob.aor,
      rate: RATE,
      holdMs: 300,
    })
    const node = (name: string) => ({
      kill: () => tandem.killNode(name),
      back: new RegExp(`up INFO +${name} is back`, 'g'),
    })
    const worker = (name: string, number: number) => ({
      kill: () => tandem.killWorker(name, number),
      back: new RegExp(`${name} INFO +worker ${number} is back`, 'g'),
    })
    const victims = [worker('s1', 0), node('s2'), worker('s2', 1), node('s1'), worker('s1', 1)]
    const count = (pattern: RegExp) => tandem.output.match(pattern)?.length ?? 0
    for (let i = 0; i < KILLS; i++) {
      await pause(BETWEEN_KILLS_MS)
      const { kill, back } = victims[i % victims.length] as (typeof victims)[number]
      const before = count(back)
      await kill()
      while (count(back) === before) await pause(20)
    }
    await pause(BETWEEN_KILLS_MS)
    const { calls, ends, delaysMs } = await load.stop()
    const at = (part: number) => delaysMs[Math.floor((delaysMs.length - 1) * part)]?.toFixed(0)
    t.comment(
      `${calls} calls; INVITE and BYE answered after ${at(0.5)} ms (p50), ${at(0.99)} ms (p99), ${at(1)} ms (worst)`,
    )
    t.same(ends, { ok: calls })
    t.notMatch(tandem.output, / (?:ERROR|FATAL) /)
    t.notMatch(tandem.output, /member \w+ is (?!up)/, 'no other part has anything to do with it')
  },
)

import t, { type Test } from 'tap'
import { Lab, type LabNode, needsLab } from '../support/lab.ts'
import { type LoadAnswer, MessageLoad } from '../support/message-load.ts'
import { Phone } from '../support/phone.ts'

/*
 * The master of group a is lost in three ways, each several times, under a load for a user of its range and for one of
 * another. A longer run: TEST_LOSSES=50 TEST_RATE=200.
 */
const LOSSES = Number(process.env.TEST_LOSSES ?? 1)
const RATE = Number(process.env.TEST_RATE ?? 100)
/** Longer than anything that the design promises; a loss is over when two probes have gone unanswered. */
const LIMIT_MS = 10_000

t.test('a master is lost', { skip: needsLab(), timeout: 120_000 + LOSSES * 60_000 }, async (t) => {
  const lab = await Lab.open(t, 82)
  const { s1, s2, a1 } = await lab.startTandem(t)
  const servers = [s1, s2].map(({ address }) => ({ address, port: 5060 }))
  const register = async (user: string) => {
    const address = lab.address(1)
    const phone = await Phone.open({
      address,
      user,
      domain: 'example.com',
      password: `${user}-secret`,
      servers,
    })
    t.teardown(() => phone.close())
    t.equal((await phone.register()).status, 200)
  }
  // Bob is of group a, alice of group b.
  await Promise.all([register('alice'), register('bob')])

  const isBack = async (edges: readonly LabNode[]) => {
    await Promise.all(edges.map((edge) => edge.says(/member a1 is up/)))
    for (const edge of edges) edge.forget()
  }

  /** `lose` resolves to what mends it, when it is lost. */
  const losing = (name: string, lose: () => Promise<() => Promise<void>>) =>
    t.test(name, async (t) => {
      const answers: LoadAnswer[] = []
      const start = (user: string, onAnswer?: (answer: LoadAnswer) => void) =>
        MessageLoad.start({
          address: lab.address(1),
          servers,
          target: `sip:${user}@example.com`,
          rate: RATE,
          ...(onAnswer && { onAnswer }),
        })
      const bystanders = await start('alice')
      const load = await start('bob', (answer) => answers.push(answer))
      const gaps: number[] = []
      for (let i = 0; i < LOSSES; i++) {
        for (const edge of [s1, s2]) edge.forget()
        await pause(200)
        answers.length = 0
        const mend = await lose()
        gaps.push(await firstServed(answers, performance.now()))
        await mend()
      }
      report(t, name, gaps)
      const { sent, statuses } = await load.stop()
      t.same(statuses, { 200: sent }, 'whoever asks again is served')
      const others = await bystanders.stop()
      t.same(others.statuses, { 200: others.sent }, 'other ranges see nothing of it')
    })

  await losing('killed', async () => {
    await a1.kill()
    return async () => {
      await a1.start()
      await isBack([s1, s2])
    }
  })
  await losing('stopped', async () => {
    const stopped = a1.stop()
    return async () => {
      await stopped
      await a1.start()
      await isBack([s1, s2])
    }
  })
  await losing('cut off from one of the edges', async () => {
    const mend = await lab.cut(s1.namespace, a1.address)
    return async () => {
      await s1.says(/member a1 is down/)
      await mend()
      await isBack([s1])
    }
  })
})

/** Until s1 gets an answer for a request that came after the loss, in milliseconds. */
async function firstServed(answers: readonly LoadAnswer[], lostMs: number): Promise<number> {
  for (; performance.now() - lostMs < LIMIT_MS; await pause(1)) {
    const served = answers.find(
      ({ status, server, sentMs }) => server === 0 && status === 200 && sentMs >= lostMs,
    )
    if (served) return served.answeredMs - lostMs
  }
  throw new Error(`nobody served within ${LIMIT_MS} ms`)
}

function report(t: Test, name: string, gaps: readonly number[]): void {
  const sorted = [...gaps].sort((a, b) => a - b)
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]?.toFixed(0)
  t.comment(
    `${name}, ${gaps.length} times: first request served after ${at(0.5)} ms (p50), ${at(0.99)} ms (p99)`,
  )
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

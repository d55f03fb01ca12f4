/*
 * Phones register, move and leave while everything fails: SIGKILL for master, slave, both and PostgreSQL, a cut between a member
 * and PostgreSQL, a member that stands still, a full disk under the spool. Failures overlap. When all is well again every
 * user is where he was last acknowledged to be, and nowhere where he was acknowledged not to be, at either member.
 *
 * TEST_KILLS=200 makes it a long run; TEST_SEED another one; TEST_RATE the REGISTERs a second; TEST_BUILT=1 runs what
 * `npm run build` has made.
 */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { testFolder } from '../support/database.ts'
import { FaultySystem, MEMBERS, type MemberName } from '../support/faulty-system.ts'
import { RestlessPhones, restlessHa1, restlessUser } from '../support/restless-phones.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const KILLS = Number(process.env.TEST_KILLS ?? 7)
const RATE = Number(process.env.TEST_RATE ?? 300)
const random = new SeededRandom(Number(process.env.TEST_SEED ?? 20))
const PHONES = RATE * 2
const NETWORK = '127.0.56.'

const FAULTS = ['master', 'slave', 'both', 'postgres', 'cut', 'standstill', 'disk'] as const
type Fault = (typeof FAULTS)[number]

t.setTimeout(120_000 + KILLS * 15_000)

const users = new Map(
  Array.from({ length: PHONES }, (_, n) => [restlessUser(n), restlessHa1(restlessUser(n))]),
)
const folder = await testFolder(t)
const system = await FaultySystem.start({ folder, network: NETWORK, databasePort: 15_660, users })
t.teardown(() => system.close())
const phones = await RestlessPhones.open({
  address: `${NETWORK}21`,
  servers: system.edges,
  count: PHONES,
  random: new SeededRandom(random.seed + 1),
})
t.teardown(() => phones.close())

/** Who is already busy failing. */
const failing = new Set<string>()

/** @returns when it is over; `undefined` if what it is about fails already */
function strike(fault: Fault): Promise<void> | undefined {
  const members: readonly MemberName[] =
    fault === 'both' || fault === 'disk'
      ? MEMBERS
      : fault === 'slave' || (fault === 'cut' && random.next() < 0.3)
        ? ['a2']
        : ['a1']
  const parts: readonly string[] = fault === 'postgres' ? ['postgres'] : members
  if (parts.some((part) => failing.has(part))) return undefined
  for (const part of parts) failing.add(part)
  return inflict(fault, members, random.between(400, 3_000)).finally(() => {
    for (const part of parts) failing.delete(part)
  })
}

async function inflict(fault: Fault, members: readonly MemberName[], ms: number): Promise<void> {
  switch (fault) {
    case 'postgres':
      await system.killPostgres()
      await pause(ms)
      return await system.startPostgres()
    case 'cut':
      for (const name of members) system.relay(name).cut()
      await pause(ms)
      for (const name of members) system.relay(name).mend()
      return
    case 'standstill':
      for (const name of members) system.node(name).freeze()
      await pause(ms)
      for (const name of members) system.node(name).thaw()
      return
    case 'disk':
      for (const name of members) system.relay(name).cut()
      await pause(ms / 3)
      for (const name of members) system.fillDisk(name)
      await pause(ms / 3)
      for (const name of members) system.freeDisk(name)
      await pause(ms / 3)
      for (const name of members) system.relay(name).mend()
      return
    default:
      await Promise.all(members.map((name) => system.node(name).kill()))
      await pause(ms / 2)
      await Promise.all(members.map((name) => restart(name)))
  }
}

/** One failure after the other, the next often before the last is over, of each kind as often as of any. */
async function letFail(kinds: readonly Fault[], counts: Map<Fault, number>, look: () => void): Promise<void> {
  const under = new Set<Promise<void>>()
  let deck: Fault[] = []
  for (let begun = 0; begun < KILLS; ) {
    if (deck.length === 0) deck = [...kinds]
    const fault = random.pick(deck)
    const struck = strike(fault)
    if (struck) {
      deck.splice(deck.indexOf(fault), 1)
      begun++
      counts.set(fault, (counts.get(fault) ?? 0) + 1)
      const over = struck.finally(() => under.delete(over))
      under.add(over)
      over.catch(() => {})
    }
    const limit = performance.now() + random.between(300, 2_500)
    while (performance.now() < limit) {
      await Promise.race([pause(50), ...under])
      look()
    }
  }
  await Promise.all(under)
}

/** Without PostgreSQL it starts from what it has on its disk. */
async function restart(name: MemberName): Promise<void> {
  await system.node(name).start()
}

/** Waits until that is so. */
async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const limit = Date.now() + 60_000; Date.now() < limit; await pause(100)) if (await isSo()) return
  throw new Error(`not after a minute: ${what}`)
}

const isServing = async (): Promise<boolean> => {
  const rows = await system.sql(
    `select from tandem.node where name in ('a1', 'a2') and state = 'serving' and heartbeat_at > now() - interval '3 s'`,
  )
  return rows.length === MEMBERS.length
}

/** For the search of what went wrong. */
async function rowsOf(user: string): Promise<string[]> {
  const rows = await system.sql<{ row: string }>(
    `select concat_ws(' ', key, call_id, cseq, changed_at::time, deleted, rev) as row from tandem.binding
     where aor = $1 order by rev`,
    [`${user}@example.com`],
  )
  return rows.map(({ row }) => row)
}

/** What is wrong with where users are found. */
async function misplaced(): Promise<string[]> {
  const wrong: string[] = []
  const expectations = phones.expectations()
  const look = async () => {
    for (let next = expectations.pop(); next; next = expectations.pop()) {
      const { user, present, absent, history } = next
      const found = await phones.whereabouts(user)
      const lost = present.filter((contact) => !found.has(contact))
      const back = absent.filter((contact) => found.has(contact))
      if (lost.length === 0 && back.length === 0) continue
      wrong.push(
        `${user} is lost at [${lost}], has come back at [${back}]`,
        ...history,
        ...(await rowsOf(user)),
      )
    }
  }
  await Promise.all(Array.from({ length: 50 }, look))
  return wrong
}

t.test('whatever fails, what was acknowledged stays', async (t) => {
  t.comment(`seed ${random.seed}, ${KILLS} failures, ${RATE} REGISTERs a second`)
  if (system.noDisks !== undefined) t.comment(`no disk is filled: ${system.noDisks}`)
  const kinds = FAULTS.filter((fault) => fault !== 'disk' || system.noDisks === undefined)
  const counts = new Map<Fault, number>()
  let mostSpooled = 0
  const running = phones.run(RATE)
  try {
    await pause(1_000)
    await letFail(kinds, counts, () => {
      mostSpooled = Math.max(mostSpooled, ...MEMBERS.map((name) => system.spooled(name)))
    })
    await pause(1_000)
  } finally {
    phones.stop()
    await running
  }

  await until('everybody serves', isServing)
  await until('nothing is left in a spool', () => MEMBERS.every((name) => system.spooled(name) <= 0))
  await until('everybody still serves', isServing)
  // One refresh, and two probes of each.
  await pause(2_500)
  t.comment(
    `failures: ${JSON.stringify(Object.fromEntries(counts))}; answers: ${JSON.stringify(Object.fromEntries(phones.answers))}`,
  )
  t.comment(`most in a spool: ${mostSpooled} bytes`)
  t.same(phones.wrongs, [])
  t.ok((phones.answers.get('200 OK') ?? 0) > KILLS * 100, 'most of it was answered')
  t.ok(mostSpooled > 0, 'some of it went through a spool')
  t.same(await misplaced(), [], 'at the master')
  await system.node('a1').kill()
  await pause(1_500)
  t.same(await misplaced(), [], 'at the slave')
  for (const name of MEMBERS)
    t.notMatch(system.node(name).output, /"level":"(?:error|fatal)"/, `${name} met no error`)
})

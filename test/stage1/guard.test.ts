import fc from 'fast-check'
import t from 'tap'
import type { Config } from '../../src/ops/config.ts'
import { configSchema } from '../../src/ops/config-schema.ts'
import { Guard, KEEP_ALIVE_COST } from '../../stage1/guard.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { parsed, requestLines, text, udp } from './fixture.ts'

type GuardConfig = Config['stage1']['guard']

const PHONE = udp('198.51.100.7', 40_001)
const OTHER = udp('198.51.100.8', 5060)

/** A guard at a clock, and what it logs. */
class Gate {
  readonly clock = new FakeClock()
  readonly lines: string[] = []
  readonly guard: Guard

  constructor(changes: Partial<GuardConfig> = {}) {
    const config = {
      ...configSchema.parse({}).stage1.guard,
      rate: 10,
      burst: 20,
      maxSources: 4096,
      ...changes,
    }
    const keep =
      (level: string) =>
      (...args: unknown[]) =>
        void this.lines.push(`${level} ${String(args.at(-1))}`)
    const log = { warn: keep('warn'), debug: keep('debug') }
    this.guard = new Guard({ config, clock: this.clock, log })
    t.teardown(() => this.guard.close())
  }

  /** How many of so many messages are admitted. */
  admitted(count: number, source = PHONE, cost?: number): number {
    let admitted = 0
    for (let i = 0; i < count; i++) if (this.guard.admits(source, undefined, cost)) admitted++
    return admitted
  }

  register(source = PHONE): void {
    this.guard.admits(source)
    this.guard.noteAnswer(source, 200, 'REGISTER')
  }

  offend(count: number, source = PHONE): void {
    for (let i = 0; i < count; i++) this.guard.noteRefused(source)
  }

  /** One message of each of so many forged sources. */
  flood(count: number, from = 0): number {
    let admitted = 0
    for (let i = from; i < from + count; i++) if (this.guard.admits(forged(i))) admitted++
    return admitted
  }

  get bans(): string[] {
    return [...this.guard.banned()].map(({ source }) => source)
  }
}

const forged = (i: number) =>
  udp(`${11 + (i >>> 24)}.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`, 5060)

const request = (...more: string[]) => parsed(text(requestLines('REGISTER', 'sip:example.com', more)))
const SCANNER = request('User-Agent: Friendly-Scanner')

t.test('a burst, then the rate, for each source by itself', async (t) => {
  const gate = new Gate()
  t.equal(gate.admitted(30), 20)
  t.equal(gate.admitted(30, OTHER), 20)
  t.equal(gate.admitted(30, udp(PHONE.address, 9)), 0, 'the port makes no source')
  gate.clock.advance(1000)
  t.equal(gate.admitted(30), 10)
  gate.clock.advance(60_000)
  t.equal(gate.admitted(30), 20)
  t.match(gate.guard.counters, { admitted: 70, limited: 80, banned: 0 })
})

t.test('a keep-alive counts a quarter', async (t) => {
  const gate = new Gate()
  t.equal(gate.admitted(100, PHONE, KEEP_ALIVE_COST), 80)
})

t.test('an IPv6 /64 is one source', async (t) => {
  const gate = new Gate()
  t.equal(gate.admitted(30, udp('2001:db8::1', 5060)), 20)
  t.equal(gate.admitted(30, udp('2001:db8::2', 5060)), 0)
  t.equal(gate.admitted(30, udp('2001:db8:0:1::2', 5060)), 20)
})

t.test('no bucket ever admits more than its burst and its rate times the time', async () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 3000 }),
    count: fc.integer({ min: 1, max: 40 }),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(step, { maxLength: 40 }),
      (rate, burst, steps) => {
        const gate = new Gate({ rate, burst })
        const admissions: { ms: number; count: number }[] = []
        for (const { waitMs, count } of steps) {
          gate.clock.advance(waitMs)
          admissions.push({ ms: gate.clock.monotonicMs(), count: gate.admitted(count) })
        }
        // Over every stretch of time, not just over all of it.
        return admissions.every((first, i) => {
          let sum = 0
          return admissions.slice(i).every(({ ms, count }) => {
            sum += count
            return sum <= burst + (rate * (ms - first.ms)) / 1000
          })
        })
      },
    ),
  )
})

t.test('who keeps to the rate is never refused, for weeks', async (t) => {
  const gate = new Gate({ rate: 1, burst: 1 })
  for (let i = 0; i < 100; i++) {
    t.equal(gate.admitted(1), 1)
    gate.clock.advance(i % 10 === 0 ? 9 * 86_400_000 : 1000)
  }
})

t.test('strangers have a rate in common, of which registered sources know nothing', async (t) => {
  const gate = new Gate({ strangersRate: 100 })
  gate.register()
  t.equal(gate.flood(500), 24, 'a quarter of a second; the registration was one of them')
  t.equal(gate.admitted(19), 19)
  t.equal(gate.guard.counters.strangers, 476)
  gate.clock.advance(100)
  t.equal(gate.flood(500, 500), 10)
  gate.clock.advance(7_200_000)
  gate.flood(500)
  t.equal(gate.admitted(1), 0, 'the proof has run out')
})

t.test('only a registration proves a source', async (t) => {
  const gate = new Gate({ strangersRate: 20 })
  gate.guard.admits(PHONE)
  gate.guard.noteAnswer(PHONE, 200, 'OPTIONS')
  gate.guard.noteAnswer(PHONE, 200, 'INVITE')
  gate.guard.noteAnswer(PHONE, 100, 'REGISTER')
  gate.guard.noteAnswer(PHONE, 401, 'REGISTER')
  gate.flood(50)
  t.equal(gate.admitted(1), 0)
})

t.test(
  'a million forged sources: memory stays, registered ones are served, a limit is not forgotten',
  async (t) => {
    const gate = new Gate({ maxSources: 4096, strangersRate: 10_000_000, burst: 20, rate: 10 })
    const { bytes } = gate.guard
    const phones = Array.from({ length: 1000 }, (_, i) => udp(`203.0.${113 + (i >> 8)}.${i & 255}`, 5060))
    for (const phone of phones) gate.register(phone)
    gate.admitted(30, OTHER)
    const heap = process.memoryUsage().heapUsed
    for (let i = 0; i < 1_000_000; i += 1000) {
      gate.flood(1000, i)
      gate.clock.advance(1)
    }
    t.equal(gate.guard.bytes, bytes)
    t.equal(bytes, 4096 * 32)
    const grown = process.memoryUsage().heapUsed - heap
    t.ok(grown < 64e6, `heap grew by ${grown}`)
    for (const phone of phones) t.equal(gate.admitted(30, phone), 20, 'its bucket, not a common one')
    t.equal(gate.admitted(30, OTHER), 10, 'the second that has passed')
  },
)

t.test('no place left: newcomers share half of what strangers have', async (t) => {
  const gate = new Gate({ maxSources: 1024, strangersRate: 1000 })
  // All registered within two hours, so none of them goes; each gets its place by force.
  for (let i = 0; i < 3000; i++) {
    gate.register(forged(i))
    gate.clock.advance(5)
  }
  gate.clock.advance(1000)
  const { tableFull } = gate.guard.counters
  t.equal(gate.flood(2000, 10_000), 125)
  t.ok(gate.guard.counters.tableFull - tableFull >= 125)
  t.ok(gate.admitted(20, forged(3)) >= 1, 'the registered are served')
  gate.clock.advance(7_200_000)
  t.equal(gate.flood(2000, 20_000), 250, 'the proofs have run out, and there is room')
})

t.test('who registers gets a place where busy strangers hold all', async (t) => {
  const gate = new Gate({ maxSources: 1024, burst: 2, rate: 1 })
  for (let i = 0; i < 5000; i++) gate.admitted(3, forged(i))
  gate.register()
  gate.flood(5000, 10_000)
  t.equal(gate.admitted(5), 2, 'its own bucket')
})

t.test('a scanner is banned by its User-Agent and dropped until the ban ends', async (t) => {
  const gate = new Gate({ banSec: 600 })
  t.ok(gate.guard.admits(PHONE))
  t.ok(gate.guard.noteRequest(request('User-Agent: Phone'), PHONE))
  t.notOk(gate.guard.noteRequest(SCANNER, PHONE))
  t.strictSame(gate.lines, ['warn guard: banned 198.51.100.7 for 600 s: User-Agent friendly-scanner'])
  t.strictSame([...gate.guard.banned()], [{ source: '198.51.100.7', endsInSec: 600 }])
  t.ok(gate.guard.isBanned(PHONE))
  t.notOk(gate.guard.isBanned(OTHER))
  gate.clock.advance(599_999)
  t.equal(gate.admitted(3), 0)
  t.match(gate.guard.counters, { banned: 3, scanners: 1, bans: 1 })
  gate.clock.advance(1)
  t.strictSame(gate.bans, [])
  t.equal(gate.admitted(3), 3)
  t.match(gate.lines.slice(1), ['debug guard: the ban of 198.51.100.7 has ended'])
})

t.test('where somebody has registered, a scanner is dropped and nobody banned', async (t) => {
  const gate = new Gate()
  gate.register()
  t.notOk(gate.guard.noteRequest(SCANNER, PHONE))
  t.equal(gate.admitted(1), 1)
  t.strictSame(gate.bans, [])
})

t.test('offences add up to a ban, once', async (t) => {
  const gate = new Gate({ banAfter: 50 })
  gate.guard.admits(PHONE)
  gate.offend(49)
  t.strictSame(gate.bans, [])
  gate.offend(3)
  t.strictSame(gate.bans, ['198.51.100.7'])
  t.strictSame(gate.lines, ['warn guard: banned 198.51.100.7 for 3600 s: too many refused requests'])
  t.equal(gate.guard.counters.bans, 1)
})

t.test('the log has the address of an IPv6 source, which a firewall can take', async (t) => {
  const gate = new Gate()
  const source = udp('2001:db8::5', 5060)
  gate.guard.admits(source)
  gate.offend(60, source)
  t.match(gate.lines[0], 'banned 2001:db8::5 for')
  t.strictSame(gate.bans, ['2001:db8::/64'])
})

t.test('offences are forgotten at the rate at which they would be too many', async (t) => {
  const gate = new Gate({ banAfter: 50, banWindowSec: 60 })
  gate.guard.admits(PHONE)
  for (let i = 0; i < 600; i++) {
    gate.offend(1)
    gate.clock.advance(1300)
  }
  t.strictSame(gate.bans, [])
  for (let i = 0; i < 600 && gate.bans.length === 0; i++) {
    gate.offend(1)
    gate.clock.advance(1000)
  }
  t.strictSame(gate.bans, ['198.51.100.7'], '60 a minute are too many')
})

t.test('which answers are offences', async (t) => {
  const bansFor = (...args: [status: number, method: string, hadCredentials?: boolean]) => {
    const gate = new Gate()
    gate.guard.admits(PHONE)
    let count = 0
    for (; gate.bans.length === 0 && count < 2000; count++) gate.guard.noteAnswer(PHONE, ...args)
    return count
  }
  t.equal(bansFor(404, 'INVITE'), 50)
  t.equal(bansFor(403, 'REGISTER'), 50)
  t.equal(bansFor(401, 'REGISTER', true), 50, 'wrong credentials')
  t.equal(bansFor(407, 'INVITE', true), 50)
  t.equal(bansFor(401, 'REGISTER'), 1600, 'the challenge itself')
  for (const status of [100, 180, 200, 302, 408, 480, 486, 487, 500, 503, 600])
    t.equal(bansFor(status, 'INVITE'), 2000, `${status}`)
})

t.test('a thousand phones behind one router, of which one has a wrong password', async (t) => {
  const gate = new Gate({ rate: 200, burst: 1000 })
  for (let minute = 0; minute < 30; minute++) {
    for (let i = 0; i < 60; i++) {
      gate.guard.noteAnswer(PHONE, 401, 'REGISTER')
      gate.guard.noteAnswer(PHONE, 401, 'REGISTER', true)
      for (let good = 0; good < 16; good++) gate.register()
      gate.clock.advance(1000)
    }
  }
  t.strictSame(gate.bans, [])
  t.equal(gate.admitted(500), 500, 'and nobody is slowed')
})

t.test('a thousand phones come back together: a thousand challenges, and then they register', async (t) => {
  const gate = new Gate({ rate: 200, burst: 1000 })
  for (let i = 0; i < 1000; i++) {
    gate.guard.admits(PHONE)
    gate.guard.noteAnswer(PHONE, 401, 'REGISTER')
  }
  t.strictSame(gate.bans, [])
  gate.register()
  t.equal(gate.guard.counters.bans, 0)
})

t.test('a small office, where one of three phones tries a wrong password every five seconds', async (t) => {
  const gate = new Gate()
  for (let i = 0; i < 720; i++) {
    gate.guard.admits(PHONE)
    gate.guard.noteAnswer(PHONE, 401, 'REGISTER')
    gate.guard.noteAnswer(PHONE, 401, 'REGISTER', true)
    gate.clock.advance(5000)
  }
  t.strictSame(gate.bans, [])
})

t.test('passwords are guessed from where somebody has registered: slowed, and not banned', async (t) => {
  const gate = new Gate({ banAfter: 50, banWindowSec: 60 })
  gate.register()
  for (let i = 0; i < 200; i++) gate.guard.noteAnswer(PHONE, 401, 'REGISTER', true)
  t.strictSame(gate.bans, [])
  t.match(gate.lines, [/^warn guard: slowed 198.51.100.7/])
  gate.clock.advance(2000)
  t.equal(gate.admitted(30), 2, 'twenty are in the bucket')
  gate.clock.advance(120_000)
  t.equal(gate.admitted(30), 20, 'and forgiven')
})

t.test('forgeries of a proven source do not shut it out', async (t) => {
  const gate = new Gate()
  gate.register()
  gate.offend(1000)
  for (let i = 0; i < 100; i++) gate.guard.noteRequest(SCANNER, PHONE)
  gate.clock.advance(1000)
  t.equal(gate.admitted(1), 1)
})

t.test('who registers after all is no longer banned', async (t) => {
  const gate = new Gate()
  gate.guard.admits(PHONE)
  gate.offend(60)
  gate.guard.noteAnswer(PHONE, 200, 'REGISTER')
  t.equal(gate.admitted(1), 1)
})

t.test('banAfter 0: no ban for offences', async (t) => {
  const gate = new Gate({ banAfter: 0 })
  gate.guard.admits(PHONE)
  gate.offend(10_000)
  t.equal(gate.admitted(1), 1)
})

t.test('exempt networks are not judged', async (t) => {
  const gate = new Gate({ exempt: ['198.51.100.0/24'], maxSources: 1024, strangersRate: 10 })
  gate.flood(10_000)
  t.equal(gate.admitted(10_000), 10_000)
  gate.guard.noteAnswer(OTHER, 200, 'REGISTER')
  t.equal(gate.admitted(100, OTHER), 100, 'also one without a place')
  t.ok(gate.guard.noteRequest(SCANNER, PHONE))
  gate.offend(1000)
  gate.guard.noteAnswer(PHONE, 200, 'REGISTER')
  t.equal(gate.admitted(100), 100)
  for (let i = 0; i < 5; i++) t.ok(gate.guard.mayAnswerDefect(PHONE))
  t.strictSame(gate.bans, [])
})

t.test('this host is exempt unless it is said otherwise', async (t) => {
  const local = [udp('127.0.54.1', 5060), udp('::1', 5060)]
  for (const source of local) {
    t.equal(new Gate().admitted(100, source), 100)
    t.equal(new Gate({ exempt: [] }).admitted(100, source), 20)
  }
})

t.test('a malformed request is answered once a second for each source', async (t) => {
  const gate = new Gate()
  gate.guard.admits(PHONE)
  gate.guard.admits(OTHER)
  const answers = (source = PHONE) =>
    Array.from({ length: 5 }, () => gate.guard.mayAnswerDefect(source)).filter(Boolean).length
  t.equal(answers(), 1)
  t.equal(answers(OTHER), 1)
  gate.clock.advance(999)
  t.equal(answers(), 0)
  gate.clock.advance(1)
  t.equal(answers(), 1)
  t.equal(answers(forged(1)) + answers(forged(2)), 1, 'those without a place are as one')
})

t.test('an attack cannot ban so many that there is no place left', async (t) => {
  const gate = new Gate({ maxSources: 1024, strangersRate: 1_000_000 })
  for (let i = 0; i < 10_000; i++) {
    gate.guard.admits(forged(i))
    gate.guard.noteRequest(SCANNER, forged(i))
  }
  t.equal(gate.guard.counters.bans, 10_000)
  t.ok(gate.bans.length <= 1024)
  t.equal(gate.admitted(30), 20, 'a bucket of its own')
  t.equal(gate.lines.filter((line) => line.includes('for 3600 s')).length, 100)
  gate.clock.advance(1000)
  t.ok(gate.lines.includes('warn guard: 9900 more banned or slowed'))
})

t.test('a ban outlasts a flood of newcomers', async (t) => {
  const gate = new Gate({ maxSources: 1024, strangersRate: 10_000_000, rate: 1000 })
  gate.guard.admits(PHONE)
  gate.offend(60)
  for (let i = 0; i < 100_000; i += 100) {
    gate.flood(100, i)
    gate.clock.advance(1)
  }
  t.equal(gate.admitted(1), 0)
})

t.test('what is dropped is said once a second, as a sum', async (t) => {
  const gate = new Gate()
  gate.admitted(120)
  t.strictSame(gate.lines, [])
  gate.clock.advance(1000)
  t.strictSame(gate.lines, ['warn guard: dropped 100 messages'])
  gate.clock.advance(10_000)
  t.equal(gate.lines.length, 1)
  t.equal(gate.clock.pending, 0, 'nothing to say, no timer')
  gate.admitted(120)
  gate.guard.close()
  t.equal(gate.clock.pending, 0)
})

t.test('drops of the banned alone are no news', async (t) => {
  const gate = new Gate()
  gate.guard.admits(PHONE)
  gate.offend(60)
  gate.clock.advance(1000)
  gate.lines.length = 0
  gate.admitted(500)
  gate.clock.advance(1000)
  t.strictSame(gate.lines, ['debug guard: dropped 500 messages'])
})

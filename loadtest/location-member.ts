import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { pino } from 'pino'
import { streamBindings } from '../db/binding-store.ts'
import { Database } from '../db/database.ts'
import type { Slots } from '../db/slot-ranges.ts'
import { streamSubscribers } from '../db/subscriber-store.ts'
import { systemClock } from '../src/ops/clock.ts'
import { Directory } from '../stage2/directory.ts'
import { Location, UNNUMBERED } from '../stage2/location.ts'
import { Refresher } from '../stage2/refresher.ts'
import { aorOf } from './location-rows.ts'

/*
 * A member's memory in a process of its own, for `bench:location`: without network, and with what fills it, keeps it
 * fresh, and asks it.
 */

export type MemberOrder =
  | { readonly type: 'load'; readonly url: string; readonly slots: Slots }
  | { readonly type: 'use'; readonly users: number; readonly rounds: number }
  /** To be like PostgreSQL, once a second. */
  | { readonly type: 'refresh'; readonly seconds: number }

export interface Loaded {
  readonly bindings: number
  readonly subscribers: number
  readonly bindingsMs: number
  readonly subscribersMs: number
  /** Growth of the process, bytes. */
  readonly bindingsRss: number
  readonly subscribersRss: number
  readonly stops: Stops
}

export interface Used {
  readonly lookupUs: number
  readonly missUs: number
  readonly updateUs: number
  readonly sweepMs: number
  readonly longestMs: number
}

export interface Refreshed {
  /** Of one core. */
  readonly cpu: number
  readonly stops: Stops
}

/** Longest times that the event loop did not turn, ms. */
export interface Stops {
  /** By the clock: other processes may have had the core meanwhile. */
  readonly longestMs: number
  /** Counting no more than the CPU time of this process, its helper threads included. */
  readonly ownMs: number
}

/** Until a refresh is what every other one is. */
const WARM_UP_MS = 3000

/** Rows until the code that takes them is compiled. */
const COLD_ROWS = 50_000

const pid = process.pid
const rss = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

const cpuMs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

/** Looks at the clock at every turn that a timer of a millisecond allows. */
class Probe {
  readonly #histogram = monitorEventLoopDelay({ resolution: 1 })
  #ownMs = 0
  #timer: NodeJS.Timeout | undefined

  start(): this {
    this.#histogram.enable()
    let [atMs, usedMs] = [performance.now(), cpuMs()]
    this.#timer = setInterval(() => {
      const [nowMs, cpuNowMs] = [performance.now(), cpuMs()]
      this.#ownMs = Math.max(this.#ownMs, Math.min(nowMs - atMs, cpuNowMs - usedMs))
      atMs = nowMs
      usedMs = cpuNowMs
    }, 1)
    return this
  }

  stop(): Stops {
    this.#histogram.disable()
    clearInterval(this.#timer)
    return { longestMs: this.#histogram.max / 1e6, ownMs: this.#ownMs }
  }
}

class Member {
  readonly location = new Location()
  readonly directory = new Directory(async () => undefined)
  #db!: Database
  #slots!: Slots

  async load({ url, slots }: MemberOrder & { type: 'load' }): Promise<Loaded> {
    const log = pino({ level: 'silent' })
    this.#db = await Database.open({ url, node: `bench-${pid}` }, log)
    this.#slots = slots
    const probe = new Probe()
    const before = rss()
    let bindings = 0
    const startedMs = performance.now()
    for await (const rows of streamBindings(this.#db, [slots])) {
      for (const row of rows) this.location.adopt(row)
      bindings += rows.length
      // From when the code is compiled: a member that loads serves nobody yet, one that is given more slots does.
      if (bindings >= COLD_ROWS && bindings - rows.length < COLD_ROWS) probe.start()
    }
    const bindingsMs = performance.now() - startedMs
    await pause(1000)
    const between = rss()
    const againMs = performance.now()
    for await (const rows of streamSubscribers(this.#db, [slots]))
      for (const row of rows) this.directory.put(row)
    const subscribersMs = performance.now() - againMs
    const stops = probe.stop()
    await pause(1000)
    return {
      bindings,
      subscribers: this.directory.size,
      bindingsMs,
      subscribersMs,
      bindingsRss: between - before,
      subscribersRss: rss() - between,
      stops,
    }
  }

  /** CPU time of what requests do, each to another user. */
  use({ users, rounds }: MemberOrder & { type: 'use' }): Used {
    const nowMs = Date.now()
    const aors = Array.from({ length: rounds }, () => aorOf(Math.floor(Math.random() * users)))
    const known = aors.filter((aor) => this.location.rows(aor).length > 0)
    const strangers = known.map((aor) => `x${aor}`)
    let found = 0
    const lookupUs = each(known, (aor) => (found += this.location.find(aor, nowMs).length))
    const missUs = each(strangers, (aor) => (found += this.location.find(aor, nowMs).length))
    if (found !== known.length) throw new Error(`found ${found} of ${known.length}`)
    let longestMs = 0
    const updateUs = each(known, (aor, i) => {
      const startedMs = performance.now()
      for (const row of this.location.rows(aor)) {
        // Every tenth phone has moved, and its row needs other room.
        const contact = i % 10 === 0 ? `${row.contact};x=${i}` : row.contact
        const change = { ...row, contact, cseq: row.cseq + 1, changedAt: row.changedAt + 1, rev: UNNUMBERED }
        this.location.put(change)
        this.location.settle(change, { ...change, rev: row.rev + 1 })
      }
      longestMs = Math.max(longestMs, performance.now() - startedMs)
    })
    const sweepMs = each(Array.from({ length: 500 }), () => this.location.sweep(nowMs)) / 1000
    return { lookupUs, missUs, updateUs, sweepMs, longestMs }
  }

  async refresh({ seconds }: MemberOrder & { type: 'refresh' }): Promise<Refreshed> {
    const { location, directory } = this
    const log = pino({ level: 'silent' })
    const refresher = new Refresher({
      db: this.#db,
      directory,
      location,
      clock: systemClock,
      log,
      intervalMs: 1000,
    })
    // As after a snapshot: all changes from now on.
    const [{ rev } = { rev: 0 }] = await this.#db.query<{ rev: number }>('select tandem.next_rev() as rev')
    refresher.resume(rev, Date.now(), [this.#slots])
    refresher.start()
    await pause(WARM_UP_MS)
    const before = process.cpuUsage()
    const startedMs = performance.now()
    await pause(seconds * 1000)
    const cpu = cpuMs(before) / (performance.now() - startedMs)
    // Not at the same time: it would be the larger part.
    const probe = new Probe().start()
    await pause(seconds * 1000)
    const stops = probe.stop()
    await refresher.stop()
    return { cpu, stops }
  }
}

/** CPU time of `work`, µs. */
function each<T>(items: readonly T[], work: (item: T, i: number) => void): number {
  const before = process.cpuUsage()
  for (let i = 0; i < items.length; i++) work(items[i] as T, i)
  return (cpuMs(before) * 1000) / items.length
}

const member = new Member()
process.on('message', async (order: MemberOrder) => {
  process.send?.(order.type === 'use' ? member.use(order) : await member[order.type](order as never))
})
process.on('disconnect', () => process.exit())

import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'

/** Lines about single sources in a second; forged sources could fill the disk. */
const MAX_LINES = 100
const PERIOD_MS = 1000

/** What the summary tells of. */
export interface Drops {
  /** Over the rate of its source. */
  limited: number
  /** Over the common rate of the sources from which nobody has registered. */
  strangers: number
  /** From a banned source. */
  banned: number
  /** Of sources for which there was no place in the table, admitted or not. */
  tableFull: number
}

/** The lines of the guard: so many a second at most, whatever comes. */
export class GuardLog {
  readonly #log: Pick<Logger, 'debug' | 'warn'>
  readonly #clock: Clock
  readonly #drops: Readonly<Drops>
  #told: Drops
  #lines = 0
  #timer: Timer | undefined

  /** @param drops the counters, which go on counting */
  constructor(log: Pick<Logger, 'debug' | 'warn'>, clock: Clock, drops: Readonly<Drops>) {
    this.#log = log
    this.#clock = clock
    this.#drops = drops
    this.#told = { ...drops }
  }

  /** Something has been counted: one line within a second tells of all that was. */
  dropped(): void {
    this.#timer ??= this.#clock.schedule(PERIOD_MS, () => this.#summarise())
  }

  /** fail2ban reads this line: `guard: banned <HOST> for \d+ s: `. No text of a client's may be in it. */
  banned(address: string, sec: number, reason: string): void {
    this.#warn(`guard: banned ${address} for ${sec} s: ${reason}`)
  }

  slowed(address: string): void {
    this.#warn(`guard: slowed ${address}: too many refused requests, but somebody has registered from there`)
  }

  banEnded(source: string): void {
    this.#log.debug(`guard: the ban of ${source} has ended`)
  }

  close(): void {
    this.#timer?.cancel()
  }

  #warn(line: string): void {
    if (++this.#lines <= MAX_LINES) this.#log.warn(line)
    this.dropped()
  }

  #summarise(): void {
    this.#timer = undefined
    if (this.#lines > MAX_LINES) this.#log.warn(`guard: ${this.#lines - MAX_LINES} more banned or slowed`)
    this.#lines = 0
    const { limited, strangers, banned, tableFull } = this.#drops
    const told = this.#told
    this.#told = { limited, strangers, banned, tableFull }
    const since = {
      overRate: limited - told.limited,
      strangers: strangers - told.strangers,
      banned: banned - told.banned,
      withoutPlace: tableFull - told.tableFull,
    }
    const dropped = since.overRate + since.strangers + since.banned
    if (dropped + since.withoutPlace === 0) return
    // Those of the banned are no news.
    const level = dropped + since.withoutPlace > since.banned ? 'warn' : 'debug'
    this.#log[level](since, `guard: dropped ${dropped} messages`)
  }
}

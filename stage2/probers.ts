import type { Clock, Timer } from '../src/ops/clock.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'

/** Whoever has not probed for this long is gone, or never was one of stage 1's workers. */
const RECENT_MS = 3_000
/** More than any cluster has workers; those beyond hear of a stop by the refusal of a request. */
const MAX_PROBERS = 10_000

/** Who of stage 1 probes this member, so that it can stop when all of them have been told, and lose no request. */
export class Probers {
  readonly #clock: Clock
  /** When each was answered last, ms. */
  readonly #answered = new Map<string, number>()
  /** While they are being told: who has not been yet, and what to do when all have. */
  #untold: Set<string> | undefined
  #allTold: () => void = () => {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  answered({ address, port }: Endpoint): void {
    const place = formatHostPort(address, port)
    if (this.#answered.size < MAX_PROBERS || this.#answered.has(place))
      this.#answered.set(place, this.#clock.monotonicMs())
    if (this.#untold?.delete(place) && this.#untold.size === 0) this.#allTold()
  }

  /** Resolves when all who probe have been answered from now on, or when that takes too long. */
  async allTold(limitMs: number): Promise<void> {
    const recent = this.#clock.monotonicMs() - RECENT_MS
    this.#untold = new Set([...this.#answered].filter(([, ms]) => ms > recent).map(([place]) => place))
    if (this.#untold.size === 0) return
    let limit: Timer | undefined
    await new Promise<void>((resolve) => {
      this.#allTold = resolve
      limit = this.#clock.schedule(limitMs, resolve)
    })
    limit?.cancel()
  }
}

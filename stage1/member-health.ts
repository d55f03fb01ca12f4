/**
 * What stage 1 believes of one member, from the answers to its OPTIONS probes.
 *
 * Two misses in a row take a member out and two good answers in a row bring it back, so that one lost datagram
 * changes nothing (hysteresis); a refused connection takes it out at once, since nobody listens there. The first good
 * answer after our own start suffices: there is no history to distrust. 503 means alive but not serving: loading, or
 * about to stop, which is `draining`; then it goes on with the transactions that it has.
 */
export type MemberState = 'unknown' | 'up' | 'down' | 'not-serving' | 'draining'

/** What stage 2 says in its 503 while it drains, and while it stops. */
const LEAVING = /^(?:draining|stopping)/i

const MISSES_TO_DOWN = 2
const ANSWERS_TO_UP = 2

export class MemberHealth {
  #state: MemberState = 'unknown'
  #reason = 'not probed yet'
  #awaiting = false
  #misses = 0
  #answers = 0
  #onChange: (state: MemberState, reason: string) => void

  constructor(onChange: (state: MemberState, reason: string) => void) {
    this.#onChange = onChange
  }

  get state(): MemberState {
    return this.#state
  }

  /** Why it is in this state, for people. */
  get reason(): string {
    return this.#reason
  }

  /** A probe leaves; the one before counts as missed if it is still unanswered. */
  probing(): void {
    if (this.#awaiting) {
      this.#answers = 0
      this.#misses++
      if (this.#misses >= MISSES_TO_DOWN) this.#become('down', `${MISSES_TO_DOWN} probes unanswered`)
    }
    this.#awaiting = true
  }

  answered(status: number, reason: string): void {
    this.#awaiting = false
    this.#misses = 0
    if (status >= 300) {
      this.#answers = 0
      this.#become(LEAVING.test(reason) ? 'draining' : 'not-serving', `answers ${status} ${reason}`)
      return
    }
    this.#answers++
    if (this.#state === 'unknown' || this.#answers >= ANSWERS_TO_UP) this.#become('up', 'answers probes')
  }

  /** Its host says that nobody listens there, or ours that there is no way. */
  refused(reason = 'connection refused'): void {
    this.#awaiting = false
    this.#answers = 0
    this.#become('down', reason)
  }

  #become(state: MemberState, reason: string): void {
    if (state === this.#state) return
    this.#state = state
    this.#reason = reason
    this.#onChange(state, reason)
  }
}

import type { Logger } from '../src/ops/logging.ts'
import type { MemberNews } from './worker-messages.ts'

/** Says once for the node what its workers notice about members, each by itself: the first to notice it is quoted. */
export class MemberLog {
  readonly #log: Pick<Logger, 'info' | 'warn'>
  /** What was said of a member last, by its name and address. */
  readonly #said = new Map<string, MemberNews['state']>()

  constructor(log: Pick<Logger, 'info' | 'warn'>) {
    this.#log = log
  }

  note({ member, group, address, state, reason }: MemberNews): void {
    const key = `${member} ${address}`
    if (this.#said.get(key) === state) return
    this.#said.set(key, state)
    this.#log[state === 'up' ? 'info' : 'warn'](
      { member, group, state },
      `member ${member} is ${state}: ${reason}`,
    )
  }
}

import type { Endpoint } from '../endpoint.ts'
import type { Transaction } from './transaction.ts'

/** The client transactions that have heard nothing yet, by where they went: an ICMP error names no transaction. */
export class Unanswered {
  #byTarget = new Map<string, Set<Transaction>>()

  add(transaction: Transaction, target: Endpoint): void {
    const key = keyOf(target)
    const waiting = this.#byTarget.get(key)
    if (waiting) waiting.add(transaction)
    else this.#byTarget.set(key, new Set([transaction]))
  }

  delete(transaction: Transaction, target: Endpoint): void {
    const key = keyOf(target)
    const waiting = this.#byTarget.get(key)
    if (waiting?.delete(transaction) && waiting.size === 0) this.#byTarget.delete(key)
  }

  /** In the order in which they were sent. */
  of(target: Endpoint): Transaction[] {
    return [...(this.#byTarget.get(keyOf(target)) ?? [])]
  }

  get targets(): number {
    return this.#byTarget.size
  }
}

const keyOf = ({ transport, address, port }: Endpoint) => `${transport} ${address} ${port}`

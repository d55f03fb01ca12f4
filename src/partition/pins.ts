/** An exception from the slots: one user, or all numbers with a prefix, to a group. */
export interface PinRow {
  readonly kind: 'user' | 'prefix'
  /** Canonical: a user as it is hashed, or digits with an optional leading `+`. */
  readonly value: string
  readonly group: string
}

const PLUS = 0x2b
/** `+` and the ten digits. */
const SYMBOLS = 11
const NONE = 0

/**
 * The pins of a map, for look-ups that allocate nothing: users in a hash table, prefixes in a tree over the digits,
 * whose nodes are slices of one flat array. A hundred thousand prefixes take a few megabytes.
 */
export class Pins {
  #users = new Map<string, number>()
  /** For each node, where each symbol leads; 0 leads nowhere, for nothing leads back to the root. */
  #next = new Int32Array(SYMBOLS * 64)
  /** For each node, one more than the group pinned there; 0 without one. */
  #pinned = new Int32Array(64)
  #nodes = 1

  /** `groupIndex` gives the number by which look-ups name a group. @throws RangeError for a prefix that is no number */
  constructor(rows: readonly PinRow[], groupIndex: (group: string) => number) {
    for (const { kind, value, group } of rows) {
      if (kind === 'user') this.#users.set(value, groupIndex(group))
      else this.#addPrefix(value, groupIndex(group))
    }
  }

  /** The group that a user is pinned to: by name, else by the longest prefix; -1 if it is not pinned. */
  groupOf(user: string): number {
    return (this.#users.size > 0 ? this.#users.get(user) : undefined) ?? this.#groupOfPrefix(user)
  }

  #groupOfPrefix(user: string): number {
    let pinned = NONE
    for (let node = 0, i = 0; i < user.length; i++) {
      const symbol = symbolOf(user.charCodeAt(i), i)
      if (symbol < 0) break
      node = this.#next[node * SYMBOLS + symbol] as number
      if (node === NONE) break
      pinned = this.#pinned[node] || pinned
    }
    return pinned - 1
  }

  #addPrefix(prefix: string, group: number): void {
    let node = 0
    for (let i = 0; i < prefix.length; i++) {
      const symbol = symbolOf(prefix.charCodeAt(i), i)
      if (symbol < 0) throw new RangeError(`a pinned prefix is made of digits, unlike ${prefix}`)
      const at = node * SYMBOLS + symbol
      // In this order: a new node may move the arrays.
      const next = this.#next[at] || this.#newNode()
      this.#next[at] = next
      node = next
    }
    this.#pinned[node] = group + 1
  }

  #newNode(): number {
    if (this.#nodes === this.#pinned.length) {
      this.#next = enlarged(this.#next)
      this.#pinned = enlarged(this.#pinned)
    }
    return this.#nodes++
  }
}

/** 0…9 for a digit, 10 for a leading plus, -1 for what no number has. */
function symbolOf(code: number, position: number): number {
  const digit = code - 0x30
  if (digit >= 0 && digit <= 9) return digit
  return code === PLUS && position === 0 ? 10 : -1
}

function enlarged(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

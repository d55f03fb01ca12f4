import { crc32 } from './slot.ts'

/** An exception from the slots: one user, or all numbers with a prefix, to a group. */
export interface PinRow {
  readonly kind: 'user' | 'prefix'
  /** Canonical: a user as it is hashed, or digits with an optional leading `+`. */
  readonly value: string
  readonly group: string
}

interface UserPin {
  readonly crc: number
  readonly user: string
  readonly group: number
}

const PLUS = 0x2b
/** `+` and the ten digits. */
const SYMBOLS = 11
const NONE = 0

/**
 * The pins of a map, for look-ups that allocate nothing. Users are in an open hash table by the CRC-32 that decides
 * their slot anyway: nearly always one probe of one array, where a Map of 50,000 users costs 200 ns, measured. Prefixes are in a
 * tree over the digits, whose nodes are slices of one flat array.
 */
export class Pins {
  /** A power of two of places, each one more than the index of a user in `#users`; 0 is a free place. */
  #places: Int32Array
  #users: UserPin[] = []
  /** For each node, where each symbol leads; 0 leads nowhere, for nothing leads back to the root. */
  #next: Int32Array = new Int32Array(SYMBOLS * 64)
  /** For each node, one more than the group pinned there; 0 without one. */
  #pinned: Int32Array = new Int32Array(64)
  #nodes = 1

  /** `groupIndex` gives the number by which look-ups name a group. @throws RangeError for a prefix that is no number */
  constructor(rows: readonly PinRow[], groupIndex: (group: string) => number) {
    this.#places = new Int32Array(2 ** Math.ceil(Math.log2(4 * rows.length + 1)))
    for (const { kind, value, group } of rows) {
      if (kind === 'user') this.#addUser(value, groupIndex(group))
      else this.#addPrefix(value, groupIndex(group))
    }
  }

  /** The group that a user is pinned to: by name, else by the longest prefix; -1 if it is not pinned. `crc` is the user's. */
  groupOf(user: string, crc: number): number {
    const pinned = this.#groupOfUser(user, crc)
    return pinned >= 0 ? pinned : this.#groupOfPrefix(user)
  }

  #groupOfUser(user: string, crc: number): number {
    const last = this.#places.length - 1
    for (let place = crc & last; ; place = (place + 1) & last) {
      const index = (this.#places[place] as number) - 1
      if (index < 0) return -1
      const pin = this.#users[index] as UserPin
      if (pin.crc === crc && pin.user === user) return pin.group
    }
  }

  #addUser(user: string, group: number): void {
    const crc = crc32(user)
    const last = this.#places.length - 1
    let place = crc & last
    while (this.#places[place] !== 0) place = (place + 1) & last
    this.#places[place] = this.#users.push({ crc, user, group })
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

import { SLOTS, slotOf } from './slot.ts'

/** The rows of one version of the map, read in one snapshot. */
export interface MapRows {
  readonly version: number
  readonly domains: readonly { readonly name: string; readonly realm: string }[]
  readonly groups: readonly { readonly name: string }[]
  readonly members: readonly MemberRow[]
  /** Cover 0…16383 exactly once; the database sees to that. */
  readonly ranges: readonly SlotRange[]
}

export interface MemberRow {
  readonly group: string
  readonly node: string
  readonly role: 'master' | 'slave'
  /** Among slaves, the lower goes first. */
  readonly priority: number
  /** Numeric, without brackets. */
  readonly address: string
  readonly port: number
}

export interface SlotRange {
  readonly first: number
  readonly last: number
  readonly group: string
}

export interface Group {
  readonly name: string
  /** In the order in which they are to serve: the master, then the slaves by priority. */
  readonly members: readonly MemberRow[]
  readonly ranges: readonly SlotRange[]
}

/** Every slot's owner, in one version of the map. Immutable: a new version is a new object, swapped in whole. */
export class PartitionMap {
  readonly version: number
  readonly groups: ReadonlyMap<string, Group>
  /** Domain → realm. */
  #domains: ReadonlyMap<string, string>
  #groups: readonly Group[]
  /** Slot → index in `#groups`. */
  #ownerOfSlot: Uint16Array

  /**
   * A group without members is no fault of the map: its users cannot be served, all others can.
   * @throws Error if a slot has no owner, or one that is no group: rows that never came from our database
   */
  constructor(rows: MapRows) {
    this.version = rows.version
    this.#groups = rows.groups.map(({ name }) => groupOf(name, rows))
    this.groups = new Map(this.#groups.map((group) => [group.name, group]))
    this.#domains = new Map(rows.domains.map(({ name, realm }) => [name, realm]))
    this.#ownerOfSlot = ownerTable(rows.ranges, this.#groups)
  }

  /** Whether we are responsible for a domain, given in lower case. */
  serves(domain: string): boolean {
    return this.#domains.has(domain)
  }

  /** The realm in which the users of a domain authenticate. */
  realmOf(domain: string): string {
    return this.#domains.get(domain) ?? domain
  }

  /** The group that owns a user, given in canonical form (`canonicalUserOf`). */
  ownerOf(canonicalUser: string): Group {
    return this.#groups[this.#ownerOfSlot[slotOf(canonicalUser)] as number] as Group
  }
}

const NOBODY = 0xffff

function ownerTable(ranges: readonly SlotRange[], groups: readonly Group[]): Uint16Array {
  const table = new Uint16Array(SLOTS).fill(NOBODY)
  for (const { first, last, group } of ranges) {
    const owner = groups.findIndex(({ name }) => name === group)
    if (owner < 0) throw new Error(`slots ${first} to ${last} belong to ${group}, which is no group`)
    table.fill(owner, first, last + 1)
  }
  const gap = table.indexOf(NOBODY)
  if (gap >= 0) throw new Error(`slot ${gap} belongs to no group`)
  return table
}

const order = (member: MemberRow) => (member.role === 'master' ? -1 : member.priority)

const groupOf = (name: string, rows: MapRows): Group => ({
  name,
  members: rows.members.filter(({ group }) => group === name).sort((a, b) => order(a) - order(b)),
  ranges: rows.ranges.filter(({ group }) => group === name),
})

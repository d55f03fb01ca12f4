import type { Uri } from '../sip/uri.ts'
import { canonicalUserOf } from './canonical-user.ts'
import { type PinRow, Pins } from './pins.ts'
import { crc32, SLOTS } from './slot.ts'

/** What is hashed: the user alone, or the user and the domain, so that extension 100 of many tenants is not one slot. */
export type HashBy = 'user' | 'user@domain'

/** The rows of one version of the map, read in one snapshot. */
export interface MapRows {
  readonly version: number
  readonly domains: readonly DomainRow[]
  readonly groups: readonly { readonly name: string }[]
  readonly members: readonly MemberRow[]
  /** Cover 0…16383 exactly once; the database sees to that. */
  readonly ranges: readonly SlotRange[]
  /** Go before the slots. */
  readonly pins: readonly PinRow[]
}

export interface DomainRow {
  /** In lower case. */
  readonly name: string
  readonly realm: string
  readonly hashBy: HashBy
  /** Whether its clients are told where the group is, instead of being passed on. Default: false. */
  readonly redirect?: boolean
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
  /** Users who are its by a pin, whatever their slots. */
  readonly pinned: PinnedUsers
}

/** The pins of a group, as far as it takes to find its users in the database. */
export interface PinnedUsers {
  readonly pinnedTo: string
  /** Whether there are pins of single users. */
  readonly users: boolean
  /** How long the pinned prefixes are, each length once. */
  readonly prefixLengths: readonly number[]
}

/** Every slot's owner, in one version of the map. Immutable: a new version is a new object, swapped in whole. */
export class PartitionMap {
  readonly version: number
  readonly groups: ReadonlyMap<string, Group>
  #domains: ReadonlyMap<string, DomainRow>
  #pins: Pins
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
    this.#domains = new Map(rows.domains.map((domain) => [domain.name, domain]))
    this.#pins = new Pins(rows.pins, (group) => indexOf(group, this.#groups))
    this.#ownerOfSlot = ownerTable(rows.ranges, this.#groups)
  }

  /** Whether we are responsible for a domain, given in lower case. */
  serves(domain: string): boolean {
    return this.#domains.has(domain)
  }

  /** Whether the users of a domain are redirected to their group. */
  redirects(domain: string): boolean {
    return this.#domains.get(domain)?.redirect === true
  }

  /** The realm in which the users of a domain authenticate. */
  realmOf(domain: string): string {
    return this.#domains.get(domain)?.realm ?? domain
  }

  /** What decides about the user of a URI: the canonical user, or that and the domain if the domain says so. */
  identityOf(uri: Uri): string {
    const user = canonicalUserOf(uri)
    return this.#domains.get(uri.host)?.hashBy === 'user@domain' ? `${user}@${uri.host}` : user
  }

  /** The group that owns an identity: by its pin, else by its slot. */
  ownerOf(identity: string): Group {
    const crc = crc32(identity)
    const pinned = this.#pins.groupOf(identity, crc)
    const owner = pinned >= 0 ? pinned : this.#ownerOfSlot[crc & (SLOTS - 1)]
    return this.#groups[owner as number] as Group
  }
}

const NOBODY = 0xffff

function ownerTable(ranges: readonly SlotRange[], groups: readonly Group[]): Uint16Array {
  const table = new Uint16Array(SLOTS).fill(NOBODY)
  for (const { first, last, group } of ranges) {
    table.fill(indexOf(group, groups), first, last + 1)
  }
  const gap = table.indexOf(NOBODY)
  if (gap >= 0) throw new Error(`slot ${gap} belongs to no group`)
  return table
}

function indexOf(group: string, groups: readonly Group[]): number {
  const index = groups.findIndex(({ name }) => name === group)
  if (index < 0) throw new Error(`${group} owns users and is no group`)
  return index
}

const order = (member: MemberRow) => (member.role === 'master' ? -1 : member.priority)

const groupOf = (name: string, rows: MapRows): Group => ({
  name,
  members: rows.members.filter(({ group }) => group === name).sort((a, b) => order(a) - order(b)),
  ranges: rows.ranges.filter(({ group }) => group === name),
  pinned: pinnedTo(name, rows.pins),
})

function pinnedTo(group: string, pins: readonly PinRow[]): PinnedUsers {
  const own = pins.filter((pin) => pin.group === group)
  const prefixes = own.filter(({ kind }) => kind === 'prefix')
  return {
    pinnedTo: group,
    users: own.length > prefixes.length,
    prefixLengths: [...new Set(prefixes.map(({ value }) => value.length))].sort((a, b) => a - b),
  }
}

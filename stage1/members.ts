import type { Group, MemberRow, PartitionMap } from '../src/partition/partition-map.ts'
import { type LinkOptions, MemberLink } from './member-link.ts'

/** What belongs to a transaction that is open already, perhaps at a member that serves no longer. */
const OF_OPEN_TRANSACTIONS: ReadonlySet<string> = new Set(['CANCEL', 'ACK'])

/** To a member, or to several. */
export type Way = Pick<MemberLink, 'send'>

const keyOf = ({ node, address, port }: MemberRow) => `${node} ${address} ${port}`

/**
 * The links to every stage-2 member, and who of a group serves now. Health survives a new map.
 *
 * Every worker probes every member over the socket by which it sends: so it learns by itself, and at once, that one is gone, and
 * needs nobody's word. Sixteen workers of ten nodes cost a member 320 probes a second, each about as much as a datagram.
 */
export class Members {
  readonly #options: LinkOptions
  #links = new Map<string, MemberLink>()
  /** By group name, each in the order in which they are to serve. */
  #order = new Map<string, readonly MemberLink[]>()
  /** Maps are adopted one after the other. */
  #work: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** Opens links to the members that a new map brings and closes those it no longer has; resolves when that is done. */
  adopt(map: PartitionMap): Promise<void> {
    this.#work = this.#work.then(() => this.#adopt(map))
    return this.#work
  }

  /**
   * The first living member of a group; `undefined` when none lives. One that has not been heard of yet is tried rather
   * than refuse: it is so for the moment after our own start.
   */
  serving(group: Group): MemberLink | undefined {
    const links = this.#order.get(group.name)
    return (
      links?.find(({ health }) => health.state === 'up') ??
      links?.find(({ health }) => health.state === 'unknown')
    )
  }

  /**
   * Where a request goes: to the serving member. CANCEL and ACK belong to a transaction that is open somewhere, so they go
   * besides to whoever may have served before: one that drains, or one that gave way to a member that is back. We remember no
   * transactions; a member that does not have it answers 481, which no client minds (RFC 3261 §9.1).
   */
  wayOf(group: Group, method: string): Way | undefined {
    const serving = this.serving(group)
    if (!OF_OPEN_TRANSACTIONS.has(method)) return serving
    const mayHold = ({ health }: MemberLink) =>
      health.state === 'draining' || (health.state === 'up' && serving?.isJustBack === true)
    const others = this.#order.get(group.name)?.filter((link) => link !== serving && mayHold(link)) ?? []
    if (others.length === 0) return serving
    return {
      send: (text) => {
        serving?.send(text)
        for (const link of others) link.send(text)
      },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#work
    const links = [...this.#links.values()]
    this.#links.clear()
    this.#order.clear()
    await Promise.all(links.map((link) => link.close()))
  }

  async #adopt(map: PartitionMap): Promise<void> {
    if (this.#closed) return
    const groups = [...map.groups.values()]
    const links = new Map<string, MemberLink>()
    const open = async (member: MemberRow) => {
      const key = keyOf(member)
      links.set(key, this.#links.get(key) ?? (await MemberLink.open(member, this.#options)))
    }
    await Promise.all(groups.flatMap(({ members }) => members.map(open)))
    const gone = [...this.#links].filter(([key]) => !links.has(key)).map(([, link]) => link)
    const linkOf = (member: MemberRow) => links.get(keyOf(member)) as MemberLink
    this.#links = links
    this.#order = new Map(groups.map(({ name, members }) => [name, members.map(linkOf)]))
    await Promise.all(gone.map((link) => link.close()))
  }
}

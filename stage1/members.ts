import type { Group, MemberRow, PartitionMap } from '../src/partition/partition-map.ts'
import { type LinkOptions, MemberLink } from './member-link.ts'

const keyOf = ({ node, address, port }: MemberRow) => `${node} ${address} ${port}`

/** The links to every stage-2 member, and who of a group serves now. Health survives a new map. */
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

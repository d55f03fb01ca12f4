import type { Group, MemberRow, PartitionMap } from '../src/partition/partition-map.ts'
import { type LinkOptions, MemberLink } from './member-link.ts'

const keyOf = ({ node, address, port }: MemberRow) => `${node} ${address} ${port}`

/** The links to every stage-2 member, and who of a group serves now. Health survives a new map. */
export class Members {
  #links = new Map<string, MemberLink>()
  /** By group name, each in the order in which they are to serve. */
  #order = new Map<string, MemberLink[]>()
  #options: LinkOptions

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** Opens links to the members that a new map brings and closes those it no longer has. One call at a time. */
  async adopt(map: PartitionMap): Promise<void> {
    const links = new Map<string, MemberLink>()
    const order = new Map<string, MemberLink[]>()
    for (const { name, members } of map.groups.values()) {
      const serving: MemberLink[] = []
      for (const member of members) {
        const key = keyOf(member)
        const link = this.#links.get(key) ?? (await MemberLink.open(member, this.#options))
        links.set(key, link)
        serving.push(link)
      }
      order.set(name, serving)
    }
    const gone = [...this.#links].filter(([key]) => !links.has(key)).map(([, link]) => link)
    this.#links = links
    this.#order = order
    await Promise.all(gone.map((link) => link.close()))
  }

  /** The first living member of a group; `undefined` when none lives. */
  serving(group: Group): MemberLink | undefined {
    return this.#order.get(group.name)?.find((link) => link.health.state === 'up')
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()))
    this.#links.clear()
    this.#order.clear()
  }
}

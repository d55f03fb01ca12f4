import type { Clock } from '../src/ops/clock.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import { udpEndpoint } from '../src/partition/cluster.ts'
import type { Group } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import { formatVia, responseTarget, type Via } from '../src/sip/via.ts'
import type { Aor } from './directory.ts'

/** How long a request waits at most for a newer map, or for its user's rows; then it is decided by what there is. */
const PATIENCE_MS = 2_000
/** Requests that wait at most. */
const MAX_WAITING = 10_000

/** What to do with a request whose user the map of this moment may give to somebody else. */
export type Verdict =
  /** Ours: to be served. */
  | 'serve'
  /** It waits, or has been passed on. */
  | 'taken'
  /** Neither ours nor to be passed on again. */
  | 'refuse'

export interface HandOverOptions {
  /** This member's name. */
  readonly node: string
  /** Where it listens: what its Via says. */
  readonly local: Endpoint
  readonly cluster: () => Cluster
  /** Reads the map; resolves when it is in force. */
  readonly refreshMap: () => Promise<void>
  /** What memory is still being filled with users that a new map has given us; `undefined` when it is not. */
  readonly filling: (slot: number) => Promise<void> | undefined
  readonly send: (text: string, to: Endpoint) => void
  readonly clock: Clock
}

/**
 * Keeps requests from getting lost while a new version of the map spreads (design §2). Stage 1 says by which version it
 * chose this member. Under an older map of ours, the newer one is read first; under a newer one the request is passed on to the
 * owner, once. A user who has just become ours is served when the rows are read.
 *
 * Passing on keeps stage 1's branch, so that CANCEL, ACK and copies belong to the same transaction at the owner, whichever way
 * they come.
 */
export class HandOver {
  readonly #options: HandOverOptions
  #waiting = 0
  /** What each has waited for already: nothing is to be gained by waiting for it again. */
  readonly #hadMap = new WeakSet<Message>()
  readonly #hadRows = new WeakSet<Message>()

  constructor(options: HandOverOptions) {
    this.#options = options
  }

  /** `again` is called once with a request that had to wait, which then is to be looked at afresh. */
  judge(request: Message, aor: Aor, again: () => void): Verdict {
    const { cluster, filling, refreshMap } = this.#options
    const { map } = cluster()
    const owner = map.ownerOf(aor.identity)
    const via = request.topVia as Via
    if (Number(via.param('map')) > map.version && !this.#hadMap.has(request)) {
      this.#hadMap.add(request)
      return this.#wait(refreshMap(), again)
    }
    if (this.#isOurs(owner)) {
      const rows = this.#hadRows.has(request) ? undefined : filling(aor.slot)
      if (!rows) return 'serve'
      this.#hadRows.add(request)
      return this.#wait(rows, again)
    }
    return via.param('passed') === undefined && this.#passOn(request, via, owner) ? 'taken' : 'refuse'
  }

  /** Sends on the response to a request that was passed on. @returns false if it belongs to none */
  response(response: Message): boolean {
    const { local } = this.#options
    const { topVia } = response
    if (topVia?.param('passed') === undefined || topVia.host !== local.address || topVia.port !== local.port)
      return false
    const target = response.secondVia && responseTarget(response.secondVia)
    if (target) this.#options.send(new Rewrite(response).dropFirst(H.via).toString(), target)
    return true
  }

  #isOurs({ members }: Group): boolean {
    return members.some(({ node }) => node === this.#options.node)
  }

  #passOn(request: Message, via: Via, { members }: Group): boolean {
    const { local, send, cluster } = this.#options
    const [member] = members
    if (!member || request.maxForwards === 0) return false
    const out = new Rewrite(request).set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    out.prepend(H.via, formatVia(local, via.branch, `;passed;map=${cluster().map.version}`))
    send(out.toString(), udpEndpoint(member))
    return true
  }

  #wait(until: Promise<void>, again: () => void): Verdict {
    if (this.#waiting >= MAX_WAITING) return 'refuse'
    this.#waiting++
    let isOver = false
    const end = () => {
      if (isOver) return
      isOver = true
      this.#waiting--
      limit.cancel()
      again()
    }
    const limit = this.#options.clock.schedule(PATIENCE_MS, end)
    until.then(end, end)
    return 'taken'
  }
}

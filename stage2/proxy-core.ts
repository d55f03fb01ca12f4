import type { FlowTokens } from '../src/net/flow-token.ts'
import type { Clock } from '../src/ops/clock.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import { newBranch } from '../src/sip/transaction/branch.ts'
import type { TransactionLayer } from '../src/sip/transaction/layer.ts'
import { checkMaxForwards, checkProxyRequire, type Defect } from '../src/sip/validate.ts'
import { formatVia, viaFor } from '../src/sip/via.ts'
import type { Aor, Directory } from './directory.ts'
import type { Location } from './location.ts'
import type { ReadThrough } from './read-through.ts'
import { ResponseContext, type Target } from './response-context.ts'
import type { Serve } from './serve.ts'
import { targetsOf } from './targets.ts'

const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

export interface ProxyCoreOptions {
  readonly layer: TransactionLayer
  readonly serve: Serve
  readonly directory: Directory
  readonly location: Location
  /** Asks PostgreSQL where a user is of whom memory does not know it. */
  readonly readThrough?: Pick<ReadThrough, 'fill'>
  readonly cluster: () => Cluster
  readonly tokens: FlowTokens
  readonly clock: Clock
  /** Where this member listens: what its Via says. */
  readonly local: Endpoint
  /** Sends without a transaction. */
  readonly send: (text: string, to: Endpoint) => void
}

/** The proxy for the users of this group: looks up where they are, and forks (RFC 3261 §16.5–16.7). */
export class ProxyCore {
  readonly #options: ProxyCoreOptions

  constructor(options: ProxyCoreOptions) {
    this.#options = options
  }

  /**
   * Forwards a new request to the user's bindings, or answers it.
   * @throws what PostgreSQL throws, after it has been answered with 503
   */
  async forward(request: Message, source: Endpoint, aor: Aor): Promise<void> {
    const { layer, serve } = this.#options
    const context = new ResponseContext(layer, request, source, serve)
    if (!context.isOpen) return
    const hindrance = checkMaxForwards(request) ?? checkProxyRequire(request, SUPPORTED)
    if (hindrance) return context.refuse(hindrance)
    const start = (targets: readonly Target[]) =>
      context.start(targets, (target) => this.#copy(request, source, target))
    const targets = this.#targets(aor, request)
    // In the same turn, so that a CANCEL behind it finds it begun.
    if (targets.length > 0) return start(targets)
    try {
      const { directory, readThrough } = this.#options
      if (!(await directory.find(aor))) return context.refuse(NOT_FOUND)
      await readThrough?.fill(aor)
    } catch (error) {
      context.refuse(NOBODY_KNOWS)
      throw error
    }
    const found = this.#targets(aor, request)
    if (found.length > 0) start(found)
    else context.refuse(UNAVAILABLE)
  }

  /** An ACK to a 2xx is nobody's transaction (RFC 3261 §13.2.2.4): it goes on as it came, and is not answered. */
  forwardAck(ack: Message, source: Endpoint, aor: Aor): void {
    if (checkMaxForwards(ack)) return
    for (const target of this.#targets(aor, ack))
      this.#options.send(this.#copy(ack, source, target), target.hop)
  }

  #targets(aor: Aor, { callId }: Message): Target[] {
    const { location, cluster, tokens, clock } = this.#options
    return targetsOf(location.find(aor.key, clock.now()), cluster(), tokens, callId)
  }

  /** RFC 3261 §16.6 steps 1–8. */
  #copy(request: Message, source: Endpoint, target: Target): string {
    const out = new Rewrite(request).setRequestUri(target.uri)
    for (const route of target.route) out.prepend(H.route, route)
    out.set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    const sender = request.topVia && viaFor(request.topVia, source)
    if (sender !== undefined) out.replaceFirst(H.via, sender)
    return out.prepend(H.via, formatVia(this.#options.local, newBranch())).toString()
  }
}

const UNAVAILABLE: Defect = { status: 480, reason: 'Temporarily Unavailable' }
const NOT_FOUND: Defect = { status: 404, reason: 'Not Found' }
/** PostgreSQL would know whether there is such a user, and does not answer. */
const NOBODY_KNOWS: Defect = { status: 503, reason: 'Service Unavailable', headers: [[H.retryAfter, '5']] }

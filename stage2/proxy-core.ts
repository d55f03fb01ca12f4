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
import { formatVia } from '../src/sip/via.ts'
import type { Aor, Directory } from './directory.ts'
import type { Location } from './location.ts'
import { ResponseContext, type Target } from './response-context.ts'
import type { Serve } from './serve.ts'
import { targetsOf } from './targets.ts'

const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

export interface ProxyCoreOptions {
  readonly layer: TransactionLayer
  readonly serve: Serve
  readonly directory: Directory
  readonly location: Location
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

  /** Forwards a new request to the user's bindings, or answers it. */
  async forward(request: Message, source: Endpoint, aor: Aor): Promise<void> {
    const context = new ResponseContext(this.#options.layer, request, (to) => this.#copy(request, to))
    if (!context.open(source, this.#options.serve)) return
    const hindrance = checkMaxForwards(request) ?? checkProxyRequire(request, SUPPORTED)
    const found = hindrance ?? (await this.#find(aor))
    if (Array.isArray(found)) context.start(found)
    else context.refuse(found)
  }

  /** An ACK to a 2xx is nobody's transaction (RFC 3261 §13.2.2.4): it goes on as it came, and is not answered. */
  async forwardAck(ack: Message, aor: Aor): Promise<void> {
    const targets = await this.#find(aor)
    if (!Array.isArray(targets)) return
    for (const target of targets) this.#options.send(this.#copy(ack, target), target.hop)
  }

  async #find(aor: Aor): Promise<Target[] | Defect> {
    const { location, cluster, tokens, clock, directory } = this.#options
    const targets = targetsOf(location.find(aor.key, clock.now()), cluster(), tokens)
    if (targets.length > 0) return targets
    const subscriber = await directory.find(aor)
    return subscriber
      ? { status: 480, reason: 'Temporarily Unavailable' }
      : { status: 404, reason: 'Not Found' }
  }

  /** RFC 3261 §16.6 steps 1–8. */
  #copy(request: Message, target: Target): string {
    const out = new Rewrite(request).setRequestUri(target.uri)
    out.set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    for (const route of target.route) out.prepend(H.route, route)
    return out.prepend(H.via, formatVia(this.#options.local, newBranch())).toString()
  }
}

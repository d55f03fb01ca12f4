import { type EdgeWorker, outsideTowards } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { formatVia } from '../src/sip/via.ts'

/** One of our own addresses as others are told of it; written out once, for it goes into every message. */
export class Exit {
  readonly #beforeBranch: string
  readonly #behindToken: string

  constructor(own: Endpoint) {
    this.#beforeBranch = formatVia(own, '')
    // RFC 5658 §4: the transport by which later requests are to come; UDP goes without saying.
    const transport = own.transport === 'udp' ? '' : `;transport=${own.transport}`
    this.#behindToken = `@${formatHostPort(own.address, own.port)}${transport};lr`
  }

  /** A Via value; `params` begins with `;` or is empty. */
  via(branch: string, params: string): string {
    return this.#beforeBranch + branch + params
  }

  /** A value for Path or Record-Route that leads here with that flow token. */
  route(token: string, params = ''): string {
    return `<sip:${token}${this.#behindToken}${params}>`
  }
}

/** The addresses of a worker by which messages leave it. */
export class Exits {
  readonly inside: Exit
  readonly #worker: EdgeWorker
  readonly #outside = new Map<Endpoint, { readonly udp: Exit; readonly tcp: Exit }>()

  constructor(worker: EdgeWorker) {
    this.#worker = worker
    this.inside = new Exit(worker.inside)
    for (const own of worker.node.outside) {
      this.#outside.set(own, { udp: new Exit(own), tcp: new Exit({ ...own, transport: 'tcp' }) })
    }
  }

  /** The one that somebody outside is reached by: of its transport and version of IP. */
  towards(remote: Endpoint): Exit | undefined {
    const own = outsideTowards(this.#worker.node, remote)
    const exits = own && this.#outside.get(own)
    return remote.transport === 'udp' || remote.transport === 'tcp' ? exits?.[remote.transport] : undefined
  }
}

import { type Cluster, type EdgeWorker, isClusterSocket } from '../src/partition/cluster.ts'
import { defaultPort, type Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { ipv4Value } from '../src/sip/host.ts'
import type { Message } from '../src/sip/message.ts'
import { checkResponseButNextHop } from '../src/sip/validate.ts'
import { responseTarget, type Via } from '../src/sip/via.ts'
import type { Branches } from './branch.ts'
import type { Face } from './route-request.ts'

export interface WaysBackOptions {
  readonly self: EdgeWorker
  readonly branches: Branches
  readonly cluster: () => Cluster
  /** Whether this worker holds the connection of a flow. */
  readonly isOpen: (flow: Endpoint) => boolean
}

/** Where a response goes: by the face that its request came in by, or as it is to the worker that has the connection. */
export type WayBack =
  | { readonly face: Face; readonly target: Endpoint; readonly hadCredentials: boolean }
  | { readonly holder: Endpoint }

/**
 * The ways of responses (RFC 3261 §16.7 steps 3 and 9, §16.11, §18.2.2). What a response cannot tell by the Via below
 * ours, our own Via says in parameters: over which connection of which worker the request came (`conn`), and whether it
 * had credentials (`cred`).
 */
export class WaysBack {
  readonly #options: WaysBackOptions

  constructor(options: WaysBackOptions) {
    this.#options = options
  }

  /** The parameters of our own Via above that of a request from outside. */
  params(request: Message, { port, connection }: Endpoint): string {
    const hasCredentials = request.has(H.authorization) || request.has(H.proxyAuthorization)
    const cred = hasCredentials ? ';cred' : ''
    return connection === undefined ? cred : `;conn=${this.#options.self.number}.${port}.${connection}${cred}`
  }

  /**
   * `undefined` for a response to nothing that was sent from the face that it arrives at, or that leads where no request
   * can have come from.
   */
  find(response: Message, source: Endpoint, arrival: Face): WayBack | undefined {
    if (checkResponseButNextHop(response)) return undefined
    const own = response.topVia
    if (!own || !this.#isOwn(own, source, arrival)) return undefined
    const sender = response.secondVia
    const face = sender && this.#options.branches.faceOf(response, own.branch, sender)
    if (!face) return undefined
    return face === 'inside' ? this.#toInside(sender) : this.#toClient(own, sender, arrival)
  }

  /** A worker hands on by the inside face what came to the node's outside. */
  #isOwn(own: Via, source: Endpoint, arrival: Face): boolean {
    const { host, port, transport } = own
    const { node, inside } = this.#options.self
    if (arrival === 'inside' && port === inside.port && host === inside.address) return transport === 'udp'
    const mayBe = arrival === 'outside' ? transport === source.transport : own.params.includes(';conn=')
    if (!mayBe) return false
    return node.outside.some((own) => own.address === host && own.port === port)
  }

  /** Our own side is where it says in its sent-by, which our branch signs; `received` and `rport` a peer may have changed. */
  #toInside({ transport, host, port }: Via): WayBack | undefined {
    if (transport !== 'udp' || !this.#options.cluster().insideAddresses.has(host)) return undefined
    const target = { transport, address: host, port: port || defaultPort('udp') } as const
    return { face: 'inside', target, hadCredentials: false }
  }

  #toClient(own: Via, sender: Via, arrival: Face): WayBack | undefined {
    const { self, cluster } = this.#options
    const { params } = own
    const connection = parseConnection(params)
    if (connection && connection.worker !== self.number) {
      const holder = arrival === 'outside' ? self.node.inside[connection.worker] : undefined
      return holder && { holder }
    }
    const place = responseTarget(sender)
    if (!place || !isNumeric(place.address)) return undefined
    const target = connection ? this.#overConnection(place.address, connection, sender) : place
    // A Via may say TCP of what came by UDP.
    if (!target || (!connection && target.transport !== 'udp') || isClusterSocket(cluster(), target))
      return undefined
    return { face: 'outside', target, hadCredentials: params.includes(';cred') }
  }

  /** RFC 3261 §18.2.2: the request's connection or, if that is gone, a new one to the address it came from. */
  #overConnection(address: string, { port, number }: Connection, sender: Via): Endpoint | undefined {
    const flow: Endpoint = { transport: 'tcp', address, port, connection: number }
    return this.#options.isOpen(flow) ? flow : byNewConnection(sender)
  }
}

interface Connection {
  readonly worker: number
  /** Of the remote end. */
  readonly port: number
  readonly number: number
}

/** Of the parameters of our own Via, by a look at the text: they are as we wrote them, or the response is not for us. */
function parseConnection(params: string): Connection | undefined {
  const match = params.includes(';conn=') ? /;conn=(\d+)\.(\d+)\.(\d+)/.exec(params) : null
  return match ? { worker: Number(match[1]), port: Number(match[2]), number: Number(match[3]) } : undefined
}

/** Where a response goes whose connection is gone (RFC 3261 §18.2.2); `undefined` where that leads nowhere. */
export function byNewConnection(sender: Via | undefined): Endpoint | undefined {
  const address = sender && !isBehindNat(sender) ? responseTarget(sender)?.address : undefined
  if (!sender || address === undefined || !isNumeric(address)) return undefined
  return { transport: 'tcp', address, port: sender.port || defaultPort('tcp') }
}

/** Whether a client's own idea of its address is not ours. Of a client that gives a name, nothing is known. */
function isBehindNat({ host, received }: Via): boolean {
  return isNumeric(host) && received !== undefined && received !== host
}

const isNumeric = (host: string): boolean => host.includes(':') || ipv4Value(host) >= 0

import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import type { Uri } from '../src/sip/uri.ts'
import { formatVia, type Via, viaFor } from '../src/sip/via.ts'
import type { Branches } from './branch.ts'
import type { Exit } from './exits.ts'
import type { Decision, Face } from './route-request.ts'
import type { StayInPath } from './stay-in-path.ts'
import { stripIncoming, stripOutgoing } from './trust.ts'
import type { WaysBack } from './way-back.ts'

/** RFC 3261 §18.1.1: a request above this goes by a transport with congestion control where it may. */
export const LONG_BYTES = 1300

/** What UDP can carry over IPv4, however fragmented. */
export const MAX_DATAGRAM_BYTES = 65_507

/** A request that goes on, and how it came. */
export interface Passage {
  readonly request: Message
  readonly source: Endpoint
  readonly face: Face
}

/** A decision that the request is to go on. */
export type Onward = Extract<Decision, { routes: number }>

export interface ForwarderOptions {
  readonly branches: Branches
  readonly waysBack: WaysBack
  readonly stay: StayInPath
  /** Whether a URI names the cluster. */
  readonly isOurs: (uri: Uri) => boolean
}

/** Writes the copies of requests that are sent on. */
export class Forwarder {
  readonly #options: ForwarderOptions

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  /** RFC 3261 §16.6 as §16.11 changes it; our Via names `exit`. */
  copy({ request, source, face }: Passage, decision: Onward, exit: Exit, params = ''): string {
    // A request without a good Via has been refused.
    const sender = request.topVia as Via
    const { branches, waysBack, stay, isOurs } = this.#options
    const out = new Rewrite(request)
    if (request.looseStartLine) out.setRequestUri(request.requestUri)
    reroute(out, decision)
    out.set(H.maxForwards, String((request.maxForwards ?? 71) - 1))
    const more = face === 'outside' ? waysBack.params(request, source) : ''
    out.prepend(H.via, exit.via(branches.make(request, sender, face), params + more))
    const stamped = viaFor(sender, source)
    if (stamped !== undefined) out.replaceFirst(H.via, stamped)
    if (decision.to === 'outside') {
      stay.to(decision.target, out, isOurs)
      stripOutgoing(out)
    }
    if (face === 'outside') {
      stay.from(source, out)
      stripIncoming(out)
    }
    return out.toString()
  }
}

function reroute(out: Rewrite, { to, routes, set, requestUri }: Onward): void {
  set?.write(out, routes, to === 'edge')
  if (requestUri !== undefined) out.setRequestUri(requestUri)
}

/** RFC 3261 §18.1.1: what goes by TCP only for its length goes by UDP where TCP is refused. `undefined` for all else. */
export function asDatagram(request: Message): string | undefined {
  if (request.text.length <= LONG_BYTES || request.text.length > MAX_DATAGRAM_BYTES) return undefined
  const via = request.topVia
  const next = request.has(H.route) ? parseNameAddr(request.value(H.route) ?? '')?.uri : request.uri
  if (!via || !next || next.hasParam('transport')) return undefined
  const own = formatVia({ transport: 'udp', address: via.host, port: via.port }, via.branch)
  const value = own + via.params.replace(/;branch=[^;]*/i, '')
  return new Rewrite(request).replaceFirst(H.via, value).toString()
}

import { isTransportName, type TransportName } from './endpoint.ts'
import { parseHost } from './host.ts'
import { parseNameAddr } from './name-addr.ts'
import type { Uri } from './uri.ts'

/** One Route, Record-Route, Path or Service-Route value (RFC 3261 §20.34, RFC 3327, RFC 3608). */
export class Route {
  readonly uri: Uri
  /** Header parameters from the first `;`, as received. */
  readonly params: string

  constructor(uri: Uri, params: string) {
    this.uri = uri
    this.params = params
  }

  /** Without `lr` the next hop is a strict router, which wants itself in the Request-URI (§16.6 step 6). */
  get isLoose(): boolean {
    return this.uri.hasParam('lr')
  }
}

/** undefined when malformed. A route is a name-addr: outside `<>`, its `;lr` would be a header parameter. */
export function parseRoute(text: string): Route | undefined {
  const address = parseNameAddr(text)
  if (!address?.isBracketed) return undefined
  const { uri } = address
  return uri?.isSip ? new Route(uri, address.params) : undefined
}

/** A whole route set, in order; undefined when one value is malformed. */
export function parseRoutes(values: readonly string[]): Route[] | undefined {
  const routes: Route[] = []
  for (const value of values) {
    const route = parseRoute(value)
    if (route === undefined) return undefined
    routes.push(route)
  }
  return routes
}

/** What RFC 3263 starts from: the host to be looked up, and what the URI settles already. */
export interface NextHop {
  readonly host: string
  /** 0: to be found out. */
  readonly port: number
  /** undefined: to be found out. */
  readonly transport: TransportName | undefined
  readonly isSecure: boolean
}

/** Where a request goes whose topmost Route, or Request-URI, this is; `maddr` goes before the host (RFC 3263 §4). */
export function nextHopOf(uri: Uri): NextHop {
  const transport = uri.param('transport')?.toLowerCase()
  return {
    host: maddrOf(uri) ?? uri.host,
    port: uri.port,
    transport: transport !== undefined && isTransportName(transport) ? transport : undefined,
    isSecure: uri.scheme === 'sips',
  }
}

function maddrOf(uri: Uri): string | undefined {
  const maddr = uri.param('maddr')
  return maddr === undefined ? undefined : parseHost(maddr)
}

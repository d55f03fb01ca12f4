export type TransportName = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss'

/** Where a message came from or goes to. */
export interface Endpoint {
  readonly transport: TransportName
  /** Numeric; IPv6 without brackets. */
  readonly address: string
  readonly port: number
  /** The number of a connection in the process that holds it, where the message came over one. */
  readonly connection?: number
}

/** RFC 3261 §17: whether the transport itself repeats what is lost. */
export function isReliable(endpoint: Pick<Endpoint, 'transport'>): boolean {
  return endpoint.transport !== 'udp'
}

/** The port of a Via or URI that names none (RFC 3261 §18.2.2, RFC 7118 §5). */
export function defaultPort(transport: string): number {
  switch (transport) {
    case 'tls':
      return 5061
    case 'ws':
      return 80
    case 'wss':
      return 443
    default:
      return 5060
  }
}

export function isTransportName(name: string): name is TransportName {
  return name === 'udp' || name === 'tcp' || name === 'tls' || name === 'ws' || name === 'wss'
}

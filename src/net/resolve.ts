import { defaultPort, type Endpoint, isTransportName, type TransportName } from '../sip/endpoint.ts'
import { ipv4Value, isUnroutable } from '../sip/host.ts'
import { nextHopOf } from '../sip/route.ts'
import type { Uri } from '../sip/uri.ts'

/**
 * Where a SIP URI with a numeric host, or a numeric `maddr`, leads (RFC 3263 §4.1–4.2); `undefined` for a name, which
 * takes a resolver, for a transport that we do not know, and for where nothing may be sent.
 */
export function numericTarget(uri: Uri): Endpoint | undefined {
  const { host, port } = nextHopOf(uri)
  const transport = transportOf(uri)
  if (!transport || !isNumeric(host) || isUnroutable(host)) return undefined
  return { transport, address: host, port: port || defaultPort(transport) }
}

const isNumeric = (host: string): boolean => host.includes(':') || ipv4Value(host) >= 0

function transportOf(uri: Uri): TransportName | undefined {
  const named = uri.param('transport')?.toLowerCase()
  if (uri.scheme !== 'sips') return named === undefined ? 'udp' : known(named)
  // RFC 3261 §26.2.2: a sips URI that names TCP means TLS over it.
  const secure = { tcp: 'tls', tls: 'tls', ws: 'wss', wss: 'wss' } as const
  return secure[(named ?? 'tls') as keyof typeof secure]
}

const known = (name: string): TransportName | undefined => (isTransportName(name) ? name : undefined)

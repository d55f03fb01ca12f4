import { defaultPort, type Endpoint, isTransportName } from '../sip/endpoint.ts'
import { ipv4Value } from '../sip/host.ts'
import type { Uri } from '../sip/uri.ts'

/** Where a SIP URI with a numeric host leads (RFC 3263 §4.1–4.2); `undefined` for a name, which takes a resolver. */
export function numericTarget(uri: Uri): Endpoint | undefined {
  if (ipv4Value(uri.host) < 0 && !uri.host.includes(':')) return undefined
  const transport = uri.param('transport')?.toLowerCase() ?? (uri.scheme === 'sips' ? 'tls' : 'udp')
  if (!isTransportName(transport)) return undefined
  return { transport, address: uri.host, port: uri.port || defaultPort(transport) }
}

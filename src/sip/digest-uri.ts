import { normalizeEscapes } from './escapes.ts'
import { ipv4Value } from './host.ts'
import { parseUri, type Uri } from './uri.ts'

/**
 * Whether credentials that were made for `digestUri` may be used for `requestUri` (RFC 7616 §3.4.6). The
 * point is that nobody can take Alice's answer for one callee and ring another with it, a premium number for instance.
 * So the users must be the same, and the hosts.
 *
 * Scheme, port and parameters do not count, nor the host when one of the two is numeric: phones write an address into
 * one and a name into the other, and application gateways in home routers rewrite the Request-URI but cannot rewrite
 * what was hashed.
 */
export function coversRequestUri(digestUri: string, requestUri: string): boolean {
  if (digestUri === requestUri) return true
  const digest = parseUri(digestUri)
  const request = parseUri(requestUri)
  if (!digest || !request || userOf(digest) !== userOf(request)) return false
  return digest.host === request.host || isNumeric(digest) || isNumeric(request)
}

const userOf = (uri: Uri): string => normalizeEscapes(uri.user)

/** A tel URI has no host, and so says nothing against any. */
function isNumeric({ host }: Uri): boolean {
  return host === '' || host.includes(':') || ipv4Value(host) >= 0
}

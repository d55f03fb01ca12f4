import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { type Endpoint, isTransportName } from '../sip/endpoint.ts'
import type { KeyedHash } from '../sip/keyed-hash.ts'
import { ClusterHash } from './cluster-hash.ts'

/** 80 bits, as RFC 5626 §5.2 suggests. */
const MAC_CHARS = 20

/** Where a client really is (RFC 5626 §3.2), as any node of the cluster can tell it. */
export interface Flow extends Endpoint {
  /** Of a connection: the number of the worker that holds it, in the node that the token's URI names. */
  readonly worker?: number
}

/**
 * Flow tokens (RFC 5626 §5.2): where a client really is, in the user part of a Path or Record-Route URI, so that no
 * node has to remember it. Any node of the cluster can mint and open one; nobody else can mint one.
 */
export class FlowTokens {
  readonly #hash: ClusterHash

  constructor(keys: () => ClusterKeys) {
    this.#hash = new ClusterHash(keys, 'flow')
  }

  mint(flow: Flow): string {
    const place = describe(flow)
    return sign(this.#hash.current, place) + place
  }

  /** The flow of a token, `undefined` for one that no node of this cluster has minted. */
  open(token: string): Flow | undefined {
    if (token.length <= MAC_CHARS) return undefined
    const place = token.slice(MAC_CHARS)
    return this.#hash.accepts((hash) => beginsWith(token, sign(hash, place))) ? parsePlace(place) : undefined
  }
}

/** Cut to less than half of a digest, a plain keyed hash is as good as an HMAC, at half of its price. */
const sign = (hash: KeyedHash, place: string): string => hash.token(place).slice(0, MAC_CHARS)

/** In a time that does not tell how much of it is right. */
function beginsWith(token: string, mac: string): boolean {
  let difference = 0
  for (let i = 0; i < mac.length; i++) difference |= token.charCodeAt(i) ^ mac.charCodeAt(i)
  return difference === 0
}

/** In characters that need no escape in a URI: `-udp-40001-192.0.2.7`, `-tcp-40001-3-815-2001_db8__1`. */
function describe({ transport, port, address, worker, connection }: Flow): string {
  const way = connection === undefined ? `${port}` : `${port}-${worker ?? 0}-${connection}`
  return `-${transport}-${way}-${address.includes(':') ? escapeV6(address) : address}`
}

// A link-local address has a zone behind a `%`.
const escapeV6 = (address: string): string => address.replaceAll(':', '_').replace('%', '+')

const PLACE = /^-([a-z]+)-(\d+)-(?:(\d+)-(\d+)-)?(.+)$/

function parsePlace(place: string): Flow | undefined {
  const [, transport = '', port, worker, connection, host = ''] = PLACE.exec(place) ?? []
  if (!isTransportName(transport)) return undefined
  const address = host.replaceAll('_', ':').replace('+', '%')
  const remote = { transport, address, port: Number(port) }
  return connection === undefined
    ? remote
    : { ...remote, worker: Number(worker), connection: Number(connection) }
}

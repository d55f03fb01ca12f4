import { timingSafeEqual } from 'node:crypto'
import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { type Endpoint, isTransportName } from '../sip/endpoint.ts'
import type { KeyedHash } from '../sip/keyed-hash.ts'
import { ClusterHash } from './cluster-hash.ts'

/** 84 bits; RFC 5626 §5.2 suggests 80. */
const MAC_CHARS = 14

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
    const place = Buffer.from(describe(flow), 'latin1').toString('base64url')
    return sign(this.#hash.current, place) + place
  }

  /** The flow of a token, `undefined` for one that no node of this cluster has minted. */
  open(token: string): Flow | undefined {
    if (token.length <= MAC_CHARS) return undefined
    const given = Buffer.from(token.slice(0, MAC_CHARS), 'latin1')
    const place = token.slice(MAC_CHARS)
    const isGenuine = this.#hash.accepts((hash) =>
      timingSafeEqual(Buffer.from(sign(hash, place), 'latin1'), given),
    )
    return isGenuine ? parsePlace(place) : undefined
  }
}

const sign = (hash: KeyedHash, place: string): string => hash.mac(place).slice(0, MAC_CHARS)

function describe({ transport, port, address, worker, connection }: Flow): string {
  const place = `${transport}/${port}/${address}`
  return connection === undefined ? place : `${place}/${worker ?? 0}/${connection}`
}

function parsePlace(place: string): Flow | undefined {
  const [transport = '', port, address = '', worker, connection] = Buffer.from(place, 'base64url')
    .toString('latin1')
    .split('/')
  if (!isTransportName(transport)) return undefined
  const remote = { transport, address, port: Number(port) }
  return connection === undefined
    ? remote
    : { ...remote, worker: Number(worker), connection: Number(connection) }
}

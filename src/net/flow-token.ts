import { createHmac, timingSafeEqual } from 'node:crypto'
import type { ClusterKeys } from '../ops/cluster-keys.ts'
import { type Endpoint, isTransportName } from '../sip/endpoint.ts'

/** RFC 5626 §5.2 suggests 80 bits. */
const MAC_BYTES = 10

/**
 * Flow tokens (RFC 5626 §5.2): where a client really is, in the user part of a Path or Record-Route URI, so that no
 * node has to remember it. Any node of the cluster can mint and open one; nobody else can mint one.
 */
export class FlowTokens {
  #keys: () => ClusterKeys

  constructor(keys: () => ClusterKeys) {
    this.#keys = keys
  }

  mint(flow: Endpoint): string {
    const place = Buffer.from(`${flow.transport}/${flow.port}/${flow.address}`, 'latin1')
    return Buffer.concat([mac(this.#keys().current, place), place]).toString('base64url')
  }

  /** The flow of a token, `undefined` for one that no node of this cluster has minted. */
  open(token: string): Endpoint | undefined {
    const bytes = Buffer.from(token, 'base64url')
    if (bytes.length <= MAC_BYTES) return undefined
    const place = bytes.subarray(MAC_BYTES)
    const given = bytes.subarray(0, MAC_BYTES)
    const { current, previous } = this.#keys()
    const genuine = [current, previous].some((key) => key && timingSafeEqual(mac(key, place), given))
    return genuine ? parsePlace(place.toString('latin1')) : undefined
  }
}

const mac = (key: Uint8Array, place: Buffer): Buffer =>
  // The label keeps this use of the key apart from its others.
  createHmac('sha256', key).update('flow\0').update(place).digest().subarray(0, MAC_BYTES)

function parsePlace(place: string): Endpoint | undefined {
  const [transport = '', port = '', address = ''] = place.split('/')
  return isTransportName(transport) ? { transport, address, port: Number(port) } : undefined
}

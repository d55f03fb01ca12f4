import { isIPv6 } from 'node:net'
import type { StreamTransport } from '../src/net/stream-transport.ts'
import type { Transport } from '../src/net/transport.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'

/** A transport of connections, which knows its own by number. */
export type Streams = Transport & Pick<StreamTransport, 'isOpen'>

/** The sockets of the outside face: of each kind one at most for each version of IP. */
export interface OutsideSockets {
  readonly udp: readonly Transport[]
  readonly tcp: readonly Streams[]
}

/** The outside face of one worker as one object: which socket a message leaves by follows from where it goes. */
export class Outside {
  readonly #sockets: OutsideSockets
  readonly #udp4: Transport | undefined
  readonly #udp6: Transport | undefined
  readonly #tcp4: Streams | undefined
  readonly #tcp6: Streams | undefined

  constructor(sockets: OutsideSockets) {
    this.#sockets = sockets
    this.#udp4 = sockets.udp.find(({ local }) => !isIPv6(local.address))
    this.#udp6 = sockets.udp.find(({ local }) => isIPv6(local.address))
    this.#tcp4 = sockets.tcp.find(({ local }) => !isIPv6(local.address))
    this.#tcp6 = sockets.tcp.find(({ local }) => isIPv6(local.address))
  }

  /**
   * Sends over the connection that `to` names; over one that is open to that address, or opened for it, when it names none;
   * or by UDP. Where there is no socket of that transport and version of IP, nothing is sent.
   */
  send(text: string, to: Endpoint): void {
    this.#towards(to)?.send(text, to)
  }

  /** Whether the connection of a flow lives, and is this worker's. */
  isOpen(flow: Endpoint): boolean {
    if (flow.transport !== 'tcp' || flow.connection === undefined) return false
    return (isV6(flow) ? this.#tcp6 : this.#tcp4)?.isOpen(flow) === true
  }

  async close(): Promise<void> {
    const { udp, tcp } = this.#sockets
    await Promise.all([...udp, ...tcp].map((socket) => socket.close()))
  }

  #towards(to: Endpoint): Transport | undefined {
    switch (to.transport) {
      case 'udp':
        return isV6(to) ? this.#udp6 : this.#udp4
      case 'tcp':
        return isV6(to) ? this.#tcp6 : this.#tcp4
      default:
        return undefined
    }
  }
}

/** Addresses are numeric here. */
const isV6 = ({ address }: Endpoint): boolean => address.includes(':')

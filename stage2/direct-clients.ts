import { BlockList, isIPv6 } from 'node:net'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { type Message, parseMessage } from '../src/sip/message.ts'
import { Rewrite } from '../src/sip/rewrite.ts'

/**
 * The clients that may speak to a member without an edge between: those that follow the 302 of a redirected domain. They
 * are let in by address, and are not trusted: they authenticate as all do, and what only our own side may say is not heard.
 */
export class DirectClients {
  readonly #networks = new BlockList()
  readonly #isEmpty: boolean

  /** @param networks `192.0.2.0/24`, `2001:db8::1` */
  constructor(networks: readonly string[]) {
    this.#isEmpty = networks.length === 0
    for (const network of networks) {
      const [address = '', bits] = network.split('/')
      const isV6 = isIPv6(address)
      this.#networks.addSubnet(address, Number(bits ?? (isV6 ? 128 : 32)), isV6 ? 'ipv6' : 'ipv4')
    }
  }

  has({ address }: Pick<Endpoint, 'address'>): boolean {
    return !this.#isEmpty && this.#networks.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
  }

  /** What is left of a message from one of them: no Path, no Route, no word of who somebody is. */
  static heard(message: Message): Message {
    const said = FOR_OUR_SIDE.filter((id) => message.has(id))
    if (said.length === 0) return message
    const out = new Rewrite(message)
    for (const id of said) out.remove(id)
    return parseMessage(out.toString()) ?? message
  }
}

const FOR_OUR_SIDE = [H.path, H.route, H.assertedIdentity]

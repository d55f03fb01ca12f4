import type { Endpoint } from '../sip/endpoint.ts'
import type { Connection } from './connection.ts'

/** The usable connections of one transport: by number, by their remote end, and how many there are from where. */
export class ConnectionTable {
  readonly #byNumber = new Map<number, Connection>()
  readonly #accepted = new Map<string, Connection>()
  readonly #opened = new Map<string, Connection>()
  readonly #fromNetwork = new Map<string, number>()

  get size(): number {
    return this.#byNumber.size
  }

  get accepted(): number {
    return this.#accepted.size
  }

  get opened(): number {
    return this.#opened.size
  }

  /** How many have been accepted from a host, or from the /64 of an IPv6 address: one customer has the whole of it. */
  from(address: string): number {
    return this.#fromNetwork.get(networkOf(address)) ?? 0
  }

  add(connection: Connection): void {
    const { remote, number, isAccepted } = connection
    this.#byNumber.set(number, connection)
    this.#byPlace(isAccepted).set(placeOf(remote), connection)
    if (isAccepted) this.#count(remote.address, 1)
  }

  /** No effect on one that is not there. */
  remove(connection: Connection): void {
    const { remote, number, isAccepted } = connection
    if (!this.#byNumber.delete(number)) return
    const byPlace = this.#byPlace(isAccepted)
    const place = placeOf(remote)
    // A client that comes back from the same port may be there before its last connection is gone.
    if (byPlace.get(place) === connection) byPlace.delete(place)
    if (isAccepted) this.#count(remote.address, -1)
  }

  /** The very connection that `flow` names; both its number and its remote end must be right. */
  held(flow: Endpoint): Connection | undefined {
    const connection = flow.connection === undefined ? undefined : this.#byNumber.get(flow.connection)
    const isRight = connection?.remote.address === flow.address && connection.remote.port === flow.port
    return isRight ? connection : undefined
  }

  /**
   * The connection whose remote end that is: one that came from there, which the response to its request must take (RFC
   * 3261 §18.2.2), else one that leads there.
   */
  towards(place: Endpoint): Connection | undefined {
    const key = placeOf(place)
    return this.#accepted.get(key) ?? this.#opened.get(key)
  }

  values(): Iterable<Connection> {
    return this.#byNumber.values()
  }

  #byPlace(isAccepted: boolean): Map<string, Connection> {
    return isAccepted ? this.#accepted : this.#opened
  }

  #count(address: string, change: 1 | -1): void {
    const network = networkOf(address)
    const count = (this.#fromNetwork.get(network) ?? 0) + change
    if (count > 0) this.#fromNetwork.set(network, count)
    else this.#fromNetwork.delete(network)
  }
}

const placeOf = ({ address, port }: Endpoint): string => `${address} ${port}`

/** An IPv4 address, or the first four words of an IPv6 address as the kernel writes it. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const first = head === '' ? [] : head.split(':')
  if (tail === undefined) return first.slice(0, 4).join(':')
  const last = tail === '' ? [] : tail.split(':')
  const zeros = new Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0')
  return [...first, ...zeros, ...last].slice(0, 4).join(':')
}

import type { Endpoint } from '../sip/endpoint.ts'
import type { Connection, ReadMeter } from './connection.ts'

/** Where connections come from: an IPv4 address, or the /64 of an IPv6 address, of which one customer has the whole. */
interface Source extends ReadMeter {
  connections: number
}

/**
 * The connections of one transport: the usable ones by number and by their remote end, and how many there are from where.
 * One that is ending counts until it is closed, or a source could have many times what it may.
 */
export class ConnectionTable {
  readonly #byNumber = new Map<number, Connection>()
  readonly #accepted = new Map<string, Connection>()
  readonly #opened = new Map<string, Connection>()
  readonly #sources = new Map<string, Source>()
  #acceptedCount = 0
  #openedCount = 0

  /** Those that can be used. */
  get size(): number {
    return this.#byNumber.size
  }

  /** Those that are not closed. */
  get acceptedCount(): number {
    return this.#acceptedCount
  }

  get openedCount(): number {
    return this.#openedCount
  }

  /** How many have been accepted from an address, or from its /64. */
  from(address: string): number {
    return this.#sources.get(networkOf(address))?.connections ?? 0
  }

  /** Shared by all connections that are accepted from a source; for one that is about to be added. */
  meterOf(address: string): ReadMeter {
    return this.#sources.get(networkOf(address)) ?? this.#newSource(address)
  }

  add(connection: Connection): void {
    const { remote, number, isAccepted } = connection
    this.#byNumber.set(number, connection)
    this.#byPlace(isAccepted).set(placeOf(remote), connection)
    this.#count(connection, 1)
  }

  /** It can no longer be used. No effect on one of which that is known. */
  remove(connection: Connection): void {
    const { remote, number, isAccepted } = connection
    if (!this.#byNumber.delete(number)) return
    const byPlace = this.#byPlace(isAccepted)
    const place = placeOf(remote)
    // A client that comes back from the same port may be there before its last connection is gone.
    if (byPlace.get(place) === connection) byPlace.delete(place)
  }

  /** It is closed. To be called once. */
  forget(connection: Connection): void {
    this.remove(connection)
    this.#count(connection, -1)
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

  #byPlace(isAccepted: boolean): Map<string, Connection> {
    return isAccepted ? this.#accepted : this.#opened
  }

  #newSource(address: string): Source {
    const source: Source = { connections: 0, bytes: 0 }
    this.#sources.set(networkOf(address), source)
    return source
  }

  #count({ isAccepted, remote }: Connection, change: 1 | -1): void {
    if (!isAccepted) {
      this.#openedCount += change
      return
    }
    this.#acceptedCount += change
    const source = this.#sources.get(networkOf(remote.address)) ?? this.#newSource(remote.address)
    source.connections += change
    if (source.connections === 0) this.#sources.delete(networkOf(remote.address))
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

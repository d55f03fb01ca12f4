import { once } from 'node:events'
import { isIP, type Server, type Socket } from 'node:net'
import type { Timer } from '../ops/clock.ts'
import { listenError } from '../ops/errors.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import type { FramingDefect } from '../sip/framing.ts'
import { Connection, type ConnectionEvents, type CutReason } from './connection.ts'
import { ConnectionTable } from './connection-table.ts'
import { StreamBatch } from './stream-batch.ts'
import { answerDefect } from './stream-defect.ts'
import { noneYet, type StreamCounters, type StreamLayer, type StreamOptions } from './stream-options.ts'
import type { Transport, TransportEvents } from './transport.ts'

const SWEEP_MS = 1_000

/** Connections that the kernel keeps for us until we accept them: all phones of a node that died come at once. */
const BACKLOG = 4_096

/**
 * SIP over connections, in both directions (RFC 3261 §18): listens on one address, and opens connections to where
 * messages are to go. Connections are numbered; a message to an {@link Endpoint} with a number takes that connection or
 * none. One to an address alone takes the connection that came from exactly there, else the one that was opened to
 * there, else opens one.
 *
 * That a client may be reached at the port in its Via over the connection that it opened (the `alias` of RFC 5923) is
 * not believed here: whoever shares its address could say the same, and get its calls. It takes TLS with certificates.
 * A phone is reached over its connection by the number in its flow token instead.
 */
export class StreamTransport implements Transport {
  readonly local: Endpoint
  readonly counters: StreamCounters = noneYet()
  readonly #layer: StreamLayer
  readonly #server: Server
  readonly #options: StreamOptions
  readonly #events: TransportEvents
  readonly #table = new ConnectionTable()
  /** With those that are ending. */
  readonly #all = new Set<Connection>()
  readonly #ofConnections: ConnectionEvents
  readonly #monotonicMs: () => number
  #toFlush: Connection[] = []
  #sweep: Timer | undefined
  #isClosing = false
  #closed: Promise<unknown> | undefined
  #onEmpty: (() => void) | undefined

  private constructor(layer: StreamLayer, server: Server, options: StreamOptions, events: TransportEvents) {
    const { address, port } = server.address() as { address: string; port: number }
    this.local = { transport: layer.transport, address, port }
    this.#layer = layer
    this.#server = server
    this.#options = options
    this.#events = events
    this.#monotonicMs = () => options.clock.monotonicMs()
    this.#ofConnections = {
      onMessages: (texts, { remote }) => events.onMessages(new StreamBatch(texts, remote), this),
      onDefect: (defect, head, connection) => this.#refuse(defect, head, connection),
      onPing: () => this.counters.pings++,
      onGone: (connection, error, unsent) => this.#gone(connection, error, unsent),
      onClosed: (connection) => this.#forget(connection),
    }
  }

  /** @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE */
  static async open(
    layer: StreamLayer,
    options: StreamOptions,
    events: TransportEvents,
  ): Promise<StreamTransport> {
    const { address, port, option } = options
    let transport: StreamTransport | undefined
    const server = layer.server((socket) => (transport ? transport.#accept(socket) : socket.destroy()))
    try {
      const listening = once(server, 'listening')
      server.listen({ host: address, port, backlog: BACKLOG, ipv6Only: true })
      await listening
    } catch (error) {
      throw listenError(error, `${layer.name} ${address} port ${port}`, option) ?? error
    }
    transport = new StreamTransport(layer, server, options, events)
    return transport
  }

  /** Connections that can be used, both ways. */
  get size(): number {
    return this.#table.size
  }

  /** Whether the connection that `flow` names is open here; without a number: any to there. */
  isOpen(flow: Endpoint): boolean {
    const connection = flow.connection === undefined ? this.#table.towards(flow) : this.#table.held(flow)
    return connection?.isOpen === true
  }

  send(text: string, to: Endpoint): void {
    if (this.#isClosing) return
    const connection = to.connection === undefined ? this.#towards(to, text) : this.#table.held(to)
    if (connection) this.#queue(connection, text)
    else if (to.connection !== undefined)
      this.#failed(failure('ENOTCONN', 'the connection is gone'), to, text)
  }

  /** What is queued leaves first, as far as the peers read it within two seconds. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#closed ??= Promise.all([
      new Promise((resolve) => this.#server.close(resolve)),
      new Promise<void>((resolve) => this.#endAll(resolve)),
    ])
    await this.#closed
  }

  #endAll(onEmpty: () => void): void {
    this.#onEmpty = onEmpty
    for (const connection of this.#all) connection.end()
    if (this.#all.size === 0) onEmpty()
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort } = socket
    // Gone before it was accepted.
    if (remoteAddress === undefined || remotePort === undefined) return void socket.destroy()
    const hindrance = this.#hindrance(remoteAddress)
    if (hindrance !== undefined) {
      this.counters[hindrance]++
      this.#layer.abort(socket)
      // Without a listener an error of a socket ends the process.
      socket.on('error', () => {})
      return
    }
    this.counters.accepted++
    this.#add(socket, { ...this.local, address: remoteAddress, port: remotePort }, true)
  }

  #hindrance(address: string): 'tooMany' | 'tooManyFromSource' | 'notAdmitted' | undefined {
    const { limits, admits } = this.#options
    if (this.#isClosing || this.#table.acceptedCount >= limits.maxConnections) return 'tooMany'
    if (this.#table.from(address) >= limits.maxPerSource) return 'tooManyFromSource'
    return admits === undefined || admits(address) ? undefined : 'notAdmitted'
  }

  #add(socket: Socket, remote: Endpoint, isAccepted: boolean): Connection {
    const { limits } = this.#options
    const meter = isAccepted ? this.#table.meterOf(remote.address) : { bytes: 0 }
    const abort = () => this.#layer.abort(socket)
    const connection = new Connection(
      { socket, abort, remote, isAccepted, limits, meter, monotonicMs: this.#monotonicMs },
      this.#ofConnections,
    )
    this.#all.add(connection)
    this.#table.add(connection)
    this.#sweep ??= this.#options.clock.schedule(SWEEP_MS, () => this.#sweepAll())
    return connection
  }

  /** The connection to an address, opened if need be; `undefined` when that cannot be, which has then been told. */
  #towards(to: Endpoint, text: string): Connection | undefined {
    const known = this.#table.towards(to)
    if (known) return known
    // Names are resolved elsewhere; anybody may write any port into a Via.
    if (isIP(to.address) === 0 || to.port < 1 || to.port > 65_535) {
      this.#failed(failure('EINVAL', 'no address to connect to'), to, text)
    } else if (this.#table.openedCount >= this.#options.limits.maxOpened) {
      this.#failed(failure('EMFILE', 'too many connections opened'), to, text)
    } else {
      return this.#connect(to)
    }
    return undefined
  }

  #connect({ address, port }: Endpoint): Connection {
    const to: Endpoint = { transport: this.local.transport, address, port }
    const socket = this.#layer.connect(this.local.address, to, () => connection.opened())
    const connection = this.#add(socket, to, false)
    this.counters.opened++
    return connection
  }

  #queue(connection: Connection, text: string): void {
    const wasEmpty = connection.waitingBytes === 0
    if (connection.queue(text)) {
      if (wasEmpty) this.#flushSoon(connection)
      return
    }
    this.#failed(failure('ENOBUFS', 'the peer reads too slowly'), addresseeOf(connection), text)
    // One that is being opened may still become good; a reader this far behind will not catch up with live traffic.
    if (connection.isOpen) this.#cut(connection, 'unread')
  }

  /** What comes to be sent in one turn of the event loop leaves a connection in one piece. */
  #flushSoon(connection: Connection): void {
    if (this.#toFlush.push(connection) === 1) setImmediate(this.#flushAll)
  }

  readonly #flushAll = () => {
    const connections = this.#toFlush
    this.#toFlush = []
    for (const connection of connections) connection.flush()
  }

  /** Nothing behind what cannot be framed can be read. */
  #refuse(defect: FramingDefect, head: string, connection: Connection): void {
    this.counters.defects++
    this.#options.onDefect?.(connection.remote)
    connection.end(answerDefect(defect, head, connection.remote))
  }

  #sweepAll(): void {
    const nowMs = this.#monotonicMs()
    this.#sweep = this.#options.clock.schedule(SWEEP_MS, () => this.#sweepAll())
    let heldBytes = 0
    for (const connection of this.#all) {
      const reason = connection.overdue(nowMs)
      if (reason !== undefined) this.#cut(connection, reason)
      else {
        heldBytes += connection.heldBytes
        connection.readOn()
      }
    }
    if (heldBytes > this.#options.limits.totalBufferBytes) this.#relieve(heldBytes)
    if (this.#all.size === 0) this.#stopSweeping()
  }

  #stopSweeping(): void {
    this.#sweep?.cancel()
    this.#sweep = undefined
  }

  /** Cuts those that hold most, until an eighth of what is allowed is free. */
  #relieve(heldBytes: number): void {
    const enough = this.#options.limits.totalBufferBytes * 0.875
    let left = heldBytes
    for (const connection of [...this.#all].sort((a, b) => b.heldBytes - a.heldBytes)) {
      if (left <= enough) return
      left -= connection.heldBytes
      this.#cut(connection, 'crowded')
    }
  }

  #cut(connection: Connection, reason: CutReason | 'lingering'): void {
    if (reason !== 'lingering') this.counters[reason]++
    // An idle peer is told; the others are not to cost more.
    if (reason === 'idle') connection.end()
    else connection.cut(failure('ETIMEDOUT', `connection cut: ${reason}`))
  }

  #gone(connection: Connection, error: NodeJS.ErrnoException | undefined, unsent: readonly string[]): void {
    this.#table.remove(connection)
    if (unsent.length === 0) return
    const cause = error ?? failure('ECONNRESET', 'closed by the peer')
    for (const text of unsent) this.#failed(cause, addresseeOf(connection), text)
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection)
    this.#table.forget(connection)
    if (this.#all.size > 0) return
    this.#stopSweeping()
    this.#onEmpty?.()
  }

  #failed(error: NodeJS.ErrnoException, to: Endpoint, text: string): void {
    this.counters.unsent++
    if (!this.#isClosing) this.#events.onError(error, to, text)
  }
}

/** Whom a failure is about: a client is its connection, where we have called ourselves it is the address. */
function addresseeOf({ isAccepted, remote }: Connection): Endpoint {
  const { transport, address, port } = remote
  return isAccepted ? remote : { transport, address, port }
}

const failure = (code: string, message: string): NodeJS.ErrnoException =>
  Object.assign(new Error(message), { code })

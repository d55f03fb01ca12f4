import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { listenError } from '../ops/errors.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import type { InboundBatch, Transport, TransportEvents } from './transport.ts'

/** Bytes of kernel buffer asked for; the kernel may grant less (net.core.rmem_max). Default sizes drop bursts silently. */
const BUFFER_BYTES = 4 * 1024 * 1024

export interface UdpOptions {
  /** Numeric; IPv6 without brackets. */
  readonly address: string
  /** 0 for any. */
  readonly port: number
  /** The configuration key that moves this address, for the error that it is taken. */
  readonly option: string
  /** Connects the socket: it hears this peer only, sends cheaper, and learns at once that the peer is gone. */
  readonly peer?: Endpoint
}

/** UDP over Node's `dgram`, a batch for every datagram. */
export class DgramTransport implements Transport {
  readonly local: Endpoint
  readonly #socket: Socket
  readonly #events: TransportEvents
  readonly #peer: Endpoint | undefined
  #closed: Promise<void> | undefined

  private constructor(socket: Socket, events: TransportEvents, peer: Endpoint | undefined) {
    const { address, port } = socket.address()
    this.local = { transport: 'udp', address, port }
    this.#socket = socket
    this.#events = events
    this.#peer = peer
    socket.on('message', (data, from) => events.onMessages(new SingleMessage(data, from), this))
    socket.on('error', (error) => this.#failed(error))
  }

  /** @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE */
  static async open(options: UdpOptions, events: TransportEvents): Promise<DgramTransport> {
    const { address, port, peer } = options
    const socket = createSocket({
      type: isIPv6(address) ? 'udp6' : 'udp4',
      // Addresses are numeric: without this, every send asks the system's resolver.
      lookup: (hostname, _options, callback) => callback(null, hostname, isIPv6(hostname) ? 6 : 4),
    })
    try {
      // Listening before the call: with a lookup that answers at once, so does the event.
      const listening = once(socket, 'listening')
      socket.bind({ address, port, exclusive: true })
      await listening
      if (peer) {
        const connected = once(socket, 'connect')
        socket.connect(peer.port, peer.address)
        await connected
      }
      socket.setRecvBufferSize(BUFFER_BYTES)
      socket.setSendBufferSize(BUFFER_BYTES)
    } catch (error) {
      socket.close()
      throw listenError(error, `UDP ${address} port ${port}`, options.option) ?? error
    }
    return new DgramTransport(socket, events, peer)
  }

  send(text: string, to: Endpoint): void {
    if (this.#closed) return
    const data = Buffer.from(text, 'latin1')
    try {
      if (this.#peer) this.#socket.send(data, this.#onSent)
      else this.#socket.send(data, to.port, to.address, this.#onSent)
    } catch (error) {
      // dgram throws for port 0, which anybody may send from.
      this.#events.onError(error as NodeJS.ErrnoException, to)
    }
  }

  /** What is queued leaves first. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => this.#socket.close(resolve))
    return this.#closed
  }

  // One function for all sends saves a closure each; the error says what it was about.
  readonly #onSent = (error: Error | null): void => {
    if (error) this.#failed(error)
  }

  #failed(error: Error): void {
    if (!this.#closed) this.#events.onError(error, this.#peer ?? addressee(error))
  }
}

class SingleMessage implements InboundBatch {
  readonly length = 1
  readonly #data: Buffer
  readonly #from: RemoteInfo

  constructor(data: Buffer, from: RemoteInfo) {
    this.#data = data
    this.#from = from
  }

  text(): string {
    return this.#data.toString('latin1')
  }

  source(): Endpoint {
    return { transport: 'udp', address: this.#from.address, port: this.#from.port }
  }
}

function addressee(error: Error): Endpoint | undefined {
  const { address, port } = error as { address?: string; port?: number }
  return address !== undefined && port !== undefined ? { transport: 'udp', address, port } : undefined
}

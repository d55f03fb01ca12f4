import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { listenError } from '../ops/errors.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import {
  BUFFER_BYTES,
  type InboundBatch,
  type TransportEvents,
  type UdpCounters,
  type UdpOptions,
  type UdpTransport,
} from './transport.ts'

/** UDP over Node's `dgram`, a batch for every datagram. */
export class DgramTransport implements UdpTransport {
  readonly local: Endpoint
  readonly buffers: UdpTransport['buffers']
  readonly counters: UdpCounters = {
    received: 0,
    batches: 0,
    sent: 0,
    failed: 0,
    overflowed: 0,
    dropped: undefined,
  }
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
    this.buffers = { receiveBytes: socket.getRecvBufferSize(), sendBytes: socket.getSendBufferSize() }
    socket.on('message', (data, from) => {
      this.counters.received++
      this.counters.batches++
      events.onMessages(new SingleMessage(data, from), this)
    })
    socket.on('error', (error) => this.#failed(error))
  }

  /** @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE */
  static async open(options: UdpOptions, events: TransportEvents): Promise<DgramTransport> {
    const { address, port, peer, shared = false, bufferBytes = BUFFER_BYTES } = options
    const socket = createSocket({
      type: isIPv6(address) ? 'udp6' : 'udp4',
      ipv6Only: isIPv6(address),
      // Addresses are numeric: without this, every send asks the system's resolver.
      lookup: (hostname, _options, callback) => callback(null, hostname, isIPv6(hostname) ? 6 : 4),
    })
    try {
      // Listening before the call: with a lookup that answers at once, so does the event.
      const listening = once(socket, 'listening')
      socket.bind({ address, port, exclusive: !shared })
      await listening
      if (peer) {
        const connected = once(socket, 'connect')
        socket.connect(peer.port, peer.address)
        await connected
      }
      socket.setRecvBufferSize(bufferBytes)
      socket.setSendBufferSize(bufferBytes)
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
      this.counters.failed++
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
    if (!error) this.counters.sent++
    else {
      this.counters.failed++
      this.#failed(error)
    }
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

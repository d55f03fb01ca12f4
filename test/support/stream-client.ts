import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../../src/sip/endpoint.ts'

export interface StreamClientOptions {
  readonly from?: string
  readonly port?: number
}

/** The far end of a connection, byte by byte, as a test wants it. */
export class StreamClient {
  readonly socket: Socket
  /** All that came. */
  received = ''
  isEnded = false
  isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1')
    })
    socket.on('end', () => {
      this.isEnded = true
    })
    socket.on('close', () => {
      this.isClosed = true
    })
    // A reset is one of the ways in which a connection may end here.
    socket.on('error', () => {})
  }

  static async open(to: Endpoint, { from, port }: StreamClientOptions = {}): Promise<StreamClient> {
    const local = from === undefined ? {} : { localAddress: from }
    const localPort = port === undefined ? {} : { localPort: port }
    const socket = connect({ host: to.address, port: to.port, allowHalfOpen: true, ...local, ...localPort })
    const client = new StreamClient(socket)
    await until(() => !socket.connecting)
    return client
  }

  get local(): Endpoint {
    return { transport: 'tcp', address: this.socket.localAddress ?? '', port: this.socket.localPort ?? 0 }
  }

  write(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Ends with a reset, so that the port is free at once. */
  async reset(): Promise<void> {
    if (this.isClosed) return
    this.socket.resetAndDestroy()
    await until(() => this.isClosed)
  }
}

/** Lets the event loop turn until something has come true. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

export const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Endpoint } from '../sip/endpoint.ts'
import type { StreamLayer, StreamOptions } from './stream-options.ts'
import { StreamTransport } from './stream-transport.ts'
import type { TransportEvents } from './transport.ts'

/** How long a connection is quiet before the kernel asks whether the peer's host is still there (ten times, 1 s apart). */
const PROBE_AFTER_MS = 60_000

const SOCKET_OPTIONS = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: PROBE_AFTER_MS,
  // What waits for a peer that has said its last word is still sent.
  allowHalfOpen: true,
} as const

const tcp: StreamLayer = {
  transport: 'tcp',
  name: 'TCP',
  server(accept: (socket: Socket) => void): Server {
    return createServer(SOCKET_OPTIONS, accept)
  },
  connect(from: string, { address, port }: Endpoint, ready: () => void): Socket {
    return connect({ ...SOCKET_OPTIONS, host: address, port, localAddress: from }, ready)
  },
  abort(socket: Socket): void {
    // Of one that is being opened, a reset would wait until it is open.
    if (socket.connecting) socket.destroy()
    else socket.resetAndDestroy()
  },
}

/**
 * SIP over TCP. In a worker of node:cluster the port is the primary's, which hands each new connection to one worker.
 * @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE
 */
export function openTcp(options: StreamOptions, events: TransportEvents): Promise<StreamTransport> {
  return StreamTransport.open(tcp, options, events)
}

import type { Server, Socket } from 'node:net'
import type { Clock } from '../ops/clock.ts'
import type { Endpoint, TransportName } from '../sip/endpoint.ts'
import type { ConnectionLimits, CutReason } from './connection.ts'

export interface StreamLimits extends ConnectionLimits {
  /** Connections accepted at a time. */
  readonly maxConnections: number
  /** Of these, from one IPv4 address or one IPv6 /64. */
  readonly maxPerSource: number
  /** Connections of our own opening at a time. */
  readonly maxOpened: number
  /** What all connections together may hold: messages waiting to be sent, and unfinished ones that came. */
  readonly totalBufferBytes: number
}

export interface StreamOptions {
  /** Numeric; IPv6 without brackets. Connections of our own opening leave from it too. */
  readonly address: string
  /** 0 for any. */
  readonly port: number
  /** The configuration key that moves this address, for the error that it is taken. */
  readonly option: string
  readonly limits: StreamLimits
  readonly clock: Clock
  /** Asked about the address of each newcomer; false closes the connection unread. Default: everybody. */
  readonly admits?: (address: string) => boolean
  /** Told where a stream came from that lost its frames. */
  readonly onDefect?: (source: Endpoint) => void
}

/** What makes streams: TCP, or TLS on top of it. */
export interface StreamLayer {
  readonly transport: TransportName
  /** What it is called in an error. */
  readonly name: string
  /** `accept` is called when bytes can be exchanged; until then the layer has its own limits. */
  server(accept: (socket: Socket) => void): Server
  /** Begins to connect; `ready` is called when bytes can be exchanged. */
  connect(from: string, to: Endpoint, ready: () => void): Socket
  /** Ends a connection with all that it holds, at once. */
  abort(socket: Socket): void
}

/** What has happened since the transport was opened. */
export interface StreamCounters extends Record<CutReason, number> {
  accepted: number
  opened: number
  /** Not accepted because there were too many, in all or from there, or because the source is not admitted. */
  tooMany: number
  tooManyFromSource: number
  notAdmitted: number
  /** Streams that lost their frames. */
  defects: number
  pings: number
  /** Messages that were not sent. */
  unsent: number
}

export const noneYet = (): StreamCounters => ({
  ...{ accepted: 0, opened: 0, tooMany: 0, tooManyFromSource: 0, notAdmitted: 0 },
  ...{ defects: 0, pings: 0, unsent: 0 },
  ...{ unreachable: 0, silent: 0, slow: 0, unread: 0, idle: 0, crowded: 0 },
})

import type { Endpoint } from '../sip/endpoint.ts'

/** What one readiness of a socket brought: one message or many. Valid only while it is being delivered. */
export interface InboundBatch {
  readonly length: number
  /** A message as latin1 text, one character a byte. */
  text(index: number): string
  source(index: number): Endpoint
}

/** One local address that SIP messages come to and leave from. */
export interface Transport {
  readonly local: Endpoint
  /** Queues a message; what is queued leaves at the end of the turn at the latest. Errors come by {@link TransportEvents.onError}. */
  send(text: string, to: Endpoint): void
  close(): Promise<void>
}

export interface TransportEvents {
  onMessages(batch: InboundBatch, transport: Transport): void
  /** A message could not be sent, or the peer of a connected socket is gone (`ECONNREFUSED`). `to` is the peer if it is known. */
  onError(error: NodeJS.ErrnoException, to: Endpoint | undefined): void
}

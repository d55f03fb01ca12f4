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
  /**
   * A message could not be sent, or the peer of a connected socket is gone (`ECONNREFUSED`). `to` is the peer if it is known;
   * a connection also tells, message by message, what it has not sent, or cannot know to have arrived.
   */
  onError(error: NodeJS.ErrnoException, to: Endpoint | undefined, unsent?: string): void
}

export interface UdpOptions {
  /** Numeric; IPv6 without brackets. */
  readonly address: string
  /** 0 for any. */
  readonly port: number
  /** The configuration key that moves this address, for the error that it is taken. */
  readonly option: string
  /** Connects the socket: it hears this peer only, sends cheaper, and learns at once that the peer is gone. */
  readonly peer?: Endpoint
  /**
   * Whether other processes share the port, of which each gets a part of the messages. With the batched transport it is the
   * kernel that spreads flows over all that ask for it; with `dgram` the workers of a node:cluster compete for every message.
   */
  readonly shared?: boolean
  /** Kernel buffers asked for, in bytes; the kernel may grant less (net.core.rmem_max, wmem_max). */
  readonly bufferBytes?: number
}

/** A UDP socket, of either implementation. */
export interface UdpTransport extends Transport {
  readonly counters: Readonly<UdpCounters>
  /** Kernel buffers as granted, in bytes of the kernel's own count: about twice the payload that fits in. */
  readonly buffers: { readonly receiveBytes: number; readonly sendBytes: number }
}

/** Since the socket was opened. */
export interface UdpCounters {
  received: number
  /** Times that messages came; `received` divided by it is the size of a batch. */
  batches: number
  sent: number
  /** Messages that were given up because of an error. */
  failed: number
  /** Of these, those for which the queue had no room: the kernel took none for a while. */
  overflowed: number
  /** Messages that the kernel dropped because they were not fetched in time; `undefined` where it cannot be asked. */
  dropped: number | undefined
}

/** Default of {@link UdpOptions.bufferBytes}. The system's own default drops bursts silently. */
export const BUFFER_BYTES = 4 * 1024 * 1024

import type { InboundBatch, Transport } from '../../src/net/transport.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

export interface Sent {
  readonly text: string
  readonly to: Endpoint
}

/** A transport that keeps what is sent until the test takes it. */
export class FakeTransport implements Transport {
  readonly local: Endpoint
  /** Sent and not yet taken. */
  readonly sent: Sent[] = []

  constructor(local: Endpoint) {
    this.local = local
  }

  send(text: string, to: Endpoint): void {
    this.sent.push({ text, to })
  }

  /** What was sent since the last call. */
  take(): Sent[] {
    return this.sent.splice(0)
  }

  async close(): Promise<void> {}
}

/** What a socket brings. */
export function batchOf(source: Endpoint, ...texts: string[]): InboundBatch {
  return { length: texts.length, text: (i) => texts[i] ?? '', source: () => source }
}

/** Lets everything that waits only for promises go on. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

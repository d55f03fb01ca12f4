import type { Endpoint } from '../sip/endpoint.ts'
import type { InboundBatch } from './transport.ts'

/** What one read of a connection brought. */
export class StreamBatch implements InboundBatch {
  readonly #texts: readonly string[]
  readonly #source: Endpoint

  constructor(texts: readonly string[], source: Endpoint) {
    this.#texts = texts
    this.#source = source
  }

  get length(): number {
    return this.#texts.length
  }

  text(index: number): string {
    return this.#texts[index] as string
  }

  source(): Endpoint {
    return this.#source
  }
}

import { randomBytes } from 'node:crypto'
import type { InboundBatch, Transport, TransportEvents } from '../src/net/transport.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import { udpEndpoint } from '../src/partition/cluster.ts'
import type { MemberRow } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { parseMessage } from '../src/sip/message.ts'
import { MemberHealth, type MemberState } from './member-health.ts'

export interface LinkOptions {
  /** Own node name, for the From of probes. */
  readonly node: string
  readonly probeIntervalMs: number
  readonly clock: Clock
  /** Opens a transport that is connected to one peer, from the address of the inside face. */
  connect(peer: Endpoint, events: TransportEvents): Promise<Transport>
  onChange(member: MemberRow, state: MemberState, reason: string): void
}

/** How long a transaction may be open: timer C and, to the end of its last response, timer H (RFC 3261 §16.6 step 11, §17.2.1). */
const OPEN_MS = 181_000 + 32_000

/** The way to one stage-2 member: a connected socket, and what its probes tell. */
export class MemberLink {
  readonly member: MemberRow
  readonly health: MemberHealth
  readonly #endpoint: Endpoint
  readonly #options: LinkOptions
  /** Nobody but the member learns it, so nobody else can answer; nor can what was meant for a process before this one. */
  readonly #secret = randomBytes(8).toString('hex')
  #transport: Transport | undefined
  #connecting: Promise<void> | undefined
  #timer: Timer | undefined
  #probes = 0
  #closed = false
  #backAtMs = Number.NEGATIVE_INFINITY

  private constructor(member: MemberRow, options: LinkOptions) {
    this.member = member
    this.#endpoint = udpEndpoint(member)
    this.#options = options
    let before: MemberState = 'unknown'
    this.health = new MemberHealth((state, reason) => {
      if (state === 'up' && before !== 'unknown') this.#backAtMs = options.clock.monotonicMs()
      before = state
      options.onChange(member, state, reason)
    })
  }

  /** Whether it was away so short a time ago that others may still have open transactions of its users. */
  get isJustBack(): boolean {
    return this.#options.clock.monotonicMs() - this.#backAtMs < OPEN_MS
  }

  /** Resolves when the first probe is on its way, or when there is no way to the member now: it is tried again. */
  static async open(member: MemberRow, options: LinkOptions): Promise<MemberLink> {
    const link = new MemberLink(member, options)
    await link.#tick()
    return link
  }

  /** Sends a request; that nobody listens there is noticed by the health, not told to the caller. */
  send(text: string): void {
    this.#transport?.send(text, this.#endpoint)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#connecting
    await this.#transport?.close()
  }

  async #tick(): Promise<void> {
    this.#timer = this.#options.clock.schedule(this.#options.probeIntervalMs, () => void this.#tick())
    if (!this.#transport) {
      this.#connecting ??= this.#connect()
      await this.#connecting
    }
    if (this.#transport && !this.#closed) this.#probe()
  }

  async #connect(): Promise<void> {
    try {
      this.#transport = await this.#options.connect(this.#endpoint, {
        onMessages: (batch) => this.#receive(batch),
        onError: (error) => {
          if (error.code === 'ECONNREFUSED') this.health.refused()
        },
      })
    } catch (error) {
      this.health.refused(`no way to it: ${(error as Error).message}`)
    } finally {
      this.#connecting = undefined
    }
  }

  #probe(): void {
    this.health.probing()
    this.#probes++
    this.send(this.#probeText(this.#transport?.local ?? this.#endpoint))
  }

  /** RFC 3261 §11: OPTIONS to the member itself, answered over this socket thanks to `rport` (RFC 3581). */
  #probeText({ address, port }: Endpoint): string {
    const target = formatHostPort(this.#endpoint.address, this.#endpoint.port)
    const here = formatHostPort(address, port)
    return [
      `OPTIONS sip:${target} SIP/2.0`,
      `Via: SIP/2.0/UDP ${here};branch=z9hG4bK${this.#probeId};rport`,
      'Max-Forwards: 0',
      `From: <sip:${this.#options.node}@${here}>;tag=probe`,
      `To: <sip:${target}>`,
      `Call-ID: ${this.#probeId}`,
      `CSeq: ${this.#probes} OPTIONS`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
  }

  /** Of the latest probe. */
  get #probeId(): string {
    return `probe-${this.#secret}-${this.#probes}`
  }

  #receive(batch: InboundBatch): void {
    for (let i = 0; i < batch.length; i++) {
      const answer = parseMessage(batch.text(i))
      // A late answer to an older probe says nothing about now.
      if (answer && answer.status >= 200 && answer.callId === this.#probeId) {
        this.health.answered(answer.status, answer.reason)
      }
    }
  }
}

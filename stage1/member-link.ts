import { DgramTransport } from '../src/net/dgram-transport.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import type { Clock, Timer } from '../src/ops/clock.ts'
import type { MemberRow } from '../src/partition/partition-map.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { parseMessage } from '../src/sip/message.ts'
import { MemberHealth, type MemberState } from './member-health.ts'

export interface LinkOptions {
  /** Local address to probe and send from: the inside face's. */
  readonly address: string
  /** Own node name, for the From of probes. */
  readonly node: string
  readonly probeIntervalMs: number
  readonly clock: Clock
  onChange(member: MemberRow, state: MemberState, reason: string): void
}

/** The way to one stage-2 member: a connected socket, and what its probes tell. */
export class MemberLink {
  readonly member: MemberRow
  readonly health: MemberHealth
  readonly #endpoint: Endpoint
  readonly #options: LinkOptions
  #transport!: Transport
  #timer: Timer | undefined
  #probes = 0

  private constructor(member: MemberRow, options: LinkOptions) {
    this.member = member
    this.#endpoint = { transport: 'udp', address: member.address, port: member.port }
    this.#options = options
    this.health = new MemberHealth((state, reason) => options.onChange(member, state, reason))
  }

  static async open(member: MemberRow, options: LinkOptions): Promise<MemberLink> {
    const link = new MemberLink(member, options)
    link.#transport = await DgramTransport.open(
      { address: options.address, port: 0, option: 'stage1.inside', peer: link.#endpoint },
      {
        onMessages: (batch) => link.#receive(batch),
        onError: (error) => {
          if (error.code === 'ECONNREFUSED') link.health.refused()
        },
      },
    )
    link.#probe()
    return link
  }

  /** Sends a request; that nobody listens there is noticed by the health, not told to the caller. */
  send(text: string): void {
    this.#transport.send(text, this.#endpoint)
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    await this.#transport.close()
  }

  #probe(): void {
    this.health.probing()
    this.send(this.#probeText())
    this.#timer = this.#options.clock.schedule(this.#options.probeIntervalMs, () => this.#probe())
  }

  /** RFC 3261 §11: OPTIONS to the member itself, answered over this socket thanks to `rport` (RFC 3581). */
  #probeText(): string {
    const { node } = this.#options
    const { address, port } = this.#transport.local
    const serial = (++this.#probes).toString(36)
    const target = formatHostPort(this.member.address, this.member.port)
    const here = formatHostPort(address, port)
    return [
      `OPTIONS sip:${target} SIP/2.0`,
      `Via: SIP/2.0/UDP ${here};branch=z9hG4bKprobe-${port}-${serial};rport`,
      'Max-Forwards: 0',
      `From: <sip:${node}@${here}>;tag=probe`,
      `To: <sip:${target}>`,
      `Call-ID: probe-${serial}@${here}`,
      `CSeq: ${this.#probes} OPTIONS`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
  }

  #receive(batch: InboundBatch): void {
    for (let i = 0; i < batch.length; i++) {
      const answer = parseMessage(batch.text(i))
      // A late answer to an older probe says nothing about now.
      if (answer && !answer.isRequest && answer.cseq?.number === this.#probes) {
        this.health.answered(answer.status, answer.reason)
      }
    }
  }
}

import type { Test } from 'tap'
import type { Endpoint } from '../../../src/sip/endpoint.ts'
import { type Message, parseMessage } from '../../../src/sip/message.ts'
import { respond } from '../../../src/sip/response.ts'
import { newBranch } from '../../../src/sip/transaction/branch.ts'
import type { ClientTransaction, ClientUser } from '../../../src/sip/transaction/client-transaction.ts'
import { TransactionLayer, type TransactionLayerOptions } from '../../../src/sip/transaction/layer.ts'
import type { AnyTable } from '../../../src/sip/transaction/machine.ts'
import type { ServerTransaction } from '../../../src/sip/transaction/server-transaction.ts'
import { Transaction } from '../../../src/sip/transaction/transaction.ts'
import { FakeClock } from '../../support/fake-clock.ts'

export const us: Endpoint = { transport: 'udp', address: '192.0.2.1', port: 5060 }
export const peer: Endpoint = { transport: 'udp', address: '192.0.2.2', port: 5060 }
export const tcpPeer: Endpoint = { transport: 'tcp', address: '192.0.2.2', port: 49152 }

export interface RequestParts {
  readonly branch?: string
  /** The whole Via value. */
  readonly via?: string
  readonly uri?: string
  readonly fromTag?: string
  readonly toTag?: string
  readonly callId?: string
  readonly cseq?: number
  /** Header lines, each with its line end. */
  readonly more?: string
}

export function requestText(method: string, parts: RequestParts = {}): string {
  const { branch = newBranch(), uri = 'sip:bob@example.com', fromTag = 'alice', callId = 'call-1' } = parts
  const via = parts.via ?? `SIP/2.0/UDP 192.0.2.1;branch=${branch}`
  const toTag = parts.toTag === undefined ? '' : `;tag=${parts.toTag}`
  return (
    `${method} ${uri} SIP/2.0\r\nVia: ${via}\r\nMax-Forwards: 70\r\n` +
    `From: <sip:alice@example.com>;tag=${fromTag}\r\nTo: <sip:bob@example.com>${toTag}\r\n` +
    `Call-ID: ${callId}\r\nCSeq: ${parts.cseq ?? 1} ${method}\r\n${parts.more ?? ''}Content-Length: 0\r\n\r\n`
  )
}

export function parsed(text: string): Message {
  const message = parseMessage(text)
  if (!message) throw new Error(`not a message: ${text}`)
  return message
}

/** What the other side answers to a request that was sent. */
export function responseTo(request: string, status: number, toTag = 'bob'): string {
  return respond(parsed(request), status, { toTag }) ?? ''
}

/** What a client acknowledges a failure with: the INVITE's way and branch. */
export function ackTo(invite: string, toTag: string): string {
  return invite
    .replace(/^INVITE/, 'ACK')
    .replace(/CSeq: (\d+) INVITE/, 'CSeq: $1 ACK')
    .replace(/^To: (<[^>]*>).*$/m, `To: $1;tag=${toTag}`)
}

export function cancelOf(invite: string): string {
  return invite.replace(/^INVITE/, 'CANCEL').replace(/CSeq: (\d+) INVITE/, 'CSeq: $1 CANCEL')
}

/** One layer on a table: a clock that stands still, what it sends caught, what it reports written down. */
export class Bench {
  readonly clock = new FakeClock()
  readonly layer: TransactionLayer
  /** Everything sent and not yet taken. */
  readonly sent: { text: string; to: Endpoint }[] = []
  /** What the users heard, as words. */
  readonly heard: string[] = []
  /** Server transactions in the order in which they began. */
  readonly serving: ServerTransaction[] = []

  constructor(options: Partial<TransactionLayerOptions> = {}) {
    this.layer = new TransactionLayer(
      { clock: this.clock, send: (text, to) => this.sent.push({ text, to }), ...options },
      {
        request: (request, source) => {
          this.heard.push(`new ${request.method}`)
          const transaction = this.layer.serve(request, source, {
            cancelled: () => this.heard.push('cancelled'),
            failed: (_, failure) => this.heard.push(failure),
          })
          if (transaction) this.serving.push(transaction)
        },
        ack: (_, __, transaction) => this.heard.push(transaction ? 'own ACK' : 'ACK'),
        strayResponse: (response) => this.heard.push(`stray ${response.status}`),
      },
    )
  }

  readonly clientUser: ClientUser = {
    response: (response) => this.heard.push(String(response.status)),
    failed: (_, failure) => this.heard.push(failure),
  }

  request(text: string, to = peer, options = {}): ClientTransaction {
    return this.layer.request(text, to, this.clientUser, options)
  }

  receive(text: string, source = peer): void {
    this.layer.receive(parsed(text), source)
  }

  /** The first words of what was sent since the last call. */
  takeSent(): string[] {
    return this.sent.splice(0).map(({ text }) => firstWord(text))
  }

  takeHeard(): string[] {
    return this.heard.splice(0)
  }

  /** When, counted from now, something is sent within `ms`: `500 INVITE`. */
  sendingsWithin(ms: number): string[] {
    const startMs = this.clock.monotonicMs()
    const seen: string[] = []
    for (let left = ms; ; ) {
      const nextMs = this.clock.nextMs
      if (nextMs === undefined || nextMs > left) {
        this.clock.advance(left)
        return seen
      }
      this.clock.advance(nextMs)
      left -= nextMs
      for (const word of this.takeSent()) seen.push(`${this.clock.monotonicMs() - startMs} ${word}`)
    }
  }

  /** The leak check that ends every test. */
  assertEmpty(t: Test): void {
    t.equal(this.layer.entries, 0, 'no transaction is left')
    t.equal(this.clock.pending, 0, 'no timer is left')
    const { inviteClients, inviteServers, nonInviteClients, nonInviteServers } = this.layer.counters
    t.equal(inviteClients + inviteServers + nonInviteClients + nonInviteServers, 0, 'the counters agree')
  }
}

/** `INVITE` of a request, `180` of a response. */
function firstWord(text: string): string {
  return (text.startsWith('SIP/2.0') ? text.split(' ')[1] : text.split(' ')[0]) ?? ''
}

/** Writes down which cells of a table are used from now on: `calling.timerA`. */
export function recordCells(t: Test): Set<string> {
  const cells = new Set<string>()
  const { dispatch } = Transaction.prototype
  Transaction.prototype.dispatch = function (event, input) {
    const { state, isInvite } = this
    const side = 'to' in this ? 'Client' : 'Server'
    const used = dispatch.call(this, event, input)
    if (used) cells.add(`${isInvite ? 'invite' : 'nonInvite'}${side}.${state}.${event}`)
    return used
  }
  t.teardown(() => {
    Transaction.prototype.dispatch = dispatch
  })
  return cells
}

export function cellsOf(name: string, table: AnyTable): string[] {
  return Object.entries(table).flatMap(([state, row]) =>
    Object.keys(row).map((event) => `${name}.${state}.${event}`),
  )
}

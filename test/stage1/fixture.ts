import { createHash } from 'node:crypto'
import { FlowTokens } from '../../src/net/flow-token.ts'
import type { InboundBatch, Transport } from '../../src/net/transport.ts'
import type { ClusterKeys } from '../../src/ops/cluster-keys.ts'
import { type Cluster, type EdgeNode, udpEndpoint } from '../../src/partition/cluster.ts'
import { type MemberRow, PartitionMap } from '../../src/partition/partition-map.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'

/**
 * A small cluster: two edges of two workers, whose faces are on different networks, and two groups. Alice is of group b,
 * bob of a.
 */
export const udp = (address: string, port: number): Endpoint => udpEndpoint({ address, port })

export const A_OUT = udp('192.0.2.1', 5060)
export const A_OUT6 = udp('2001:db8:1::1', 5060)
export const A_IN = udp('10.0.0.1', 5160)
export const A_IN1 = udp('10.0.0.1', 5161)
export const B_OUT = udp('192.0.2.2', 5060)
export const B_IN = udp('10.0.0.2', 5160)
export const B_IN1 = udp('10.0.0.2', 5161)
export const S1A: EdgeNode = { name: 's1a', outside: [A_OUT, A_OUT6], inside: [A_IN, A_IN1] }
export const S1B: EdgeNode = { name: 's1b', outside: [B_OUT], inside: [B_IN, B_IN1] }

export const ALICE = udp('198.51.100.7', 40_001)
export const BOB = udp('203.0.113.9', 5060)
/** Bob's connection, number 77, as the worker that holds it knows it. */
export const BOB_TCP: Endpoint = { transport: 'tcp', address: '203.0.113.9', port: 50_002, connection: 77 }
export const A1 = udp('10.0.0.11', 5071)
export const B1 = udp('10.0.0.21', 5073)

export const KEYS: ClusterKeys = { current: key('current'), previous: key('previous') }

export function key(name: string): Uint8Array {
  return createHash('sha256').update(name).digest()
}

const member = (node: string, { address, port }: Endpoint): MemberRow => ({
  group: node.charAt(0),
  node,
  role: node.endsWith('1') ? 'master' : 'slave',
  priority: 10,
  address,
  port,
})

export const MEMBERS = [
  member('a1', A1),
  member('a2', udp('10.0.0.12', 5072)),
  member('b1', B1),
  member('b2', udp('10.0.0.22', 5074)),
]

export function mapOf(members: readonly MemberRow[] = MEMBERS, version = 7): PartitionMap {
  return new PartitionMap({
    version,
    domains: [
      { name: 'example.com', realm: 'example.com', hashBy: 'user' },
      { name: 'direct.example', realm: 'direct.example', hashBy: 'user', redirect: true },
    ],
    groups: [{ name: 'a' }, { name: 'b' }],
    members,
    // 555-1234 is in slot 2705, 5551234 in 3036.
    ranges: [
      { first: 0, last: 2900, group: 'a' },
      { first: 2901, last: 12_000, group: 'b' },
      { first: 12_001, last: 14_000, group: 'a' },
      { first: 14_001, last: 16_383, group: 'b' },
    ],
    pins: [],
  })
}

export function clusterOf(more: Partial<Cluster> = {}): Cluster {
  const inside = [A_IN, B_IN, ...MEMBERS].map(({ address }) => address)
  return { map: mapOf(), edges: [S1A, S1B], insideAddresses: new Set(inside), keys: KEYS, ...more }
}

export const tokens = new FlowTokens(() => KEYS)

/** Header lines and a body as wire text. */
export const text = (lines: readonly string[], body = ''): string => `${lines.join('\r\n')}\r\n\r\n${body}`

/** What a client sends; `more` goes above the mandatory headers. */
export function requestLines(method: string, uri: string, more: readonly string[] = []): string[] {
  return [
    `${method} ${uri} SIP/2.0`,
    'Via: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bKclient;rport',
    ...more,
    'From: <sip:alice@example.com>;tag=f1',
    'To: <sip:bob@example.com>',
    'Call-ID: call-1@client',
    `CSeq: 314 ${method}`,
    'Content-Length: 0',
  ]
}

export function parsed(wire: string | undefined): Message {
  const message = parseMessage(wire ?? '')
  if (!message) throw new Error(`not a message: ${wire}`)
  return message
}

export function batch(source: Endpoint, ...texts: string[]): InboundBatch {
  return { length: texts.length, text: (i) => texts[i] as string, source: () => source }
}

/** Keeps what is sent; `open` are the connections that it holds. */
export class FakeTransport implements Transport {
  readonly local: Endpoint
  readonly sent: { readonly text: string; readonly to: Endpoint }[] = []
  readonly open = new Set<number>()
  closes = 0

  constructor(local: Endpoint) {
    this.local = local
  }

  send(text: string, to: Endpoint): void {
    if (this.closes > 0) throw new Error('sent by a closed transport')
    this.sent.push({ text, to })
  }

  isOpen({ connection }: Endpoint): boolean {
    return connection !== undefined && this.open.has(connection)
  }

  async close(): Promise<void> {
    this.closes++
  }
}

import type { Cluster, EdgeNode } from '../../src/partition/cluster.ts'
import { edgeWorker } from '../../src/partition/cluster.ts'
import type { MemberRow } from '../../src/partition/partition-map.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { Edge, type EdgeOptions } from '../../stage1/edge.ts'
import type { Face } from '../../stage1/route-request.ts'
import {
  ALICE,
  batch,
  clusterOf,
  FakeTransport,
  MEMBERS,
  parsed,
  requestLines,
  S1A,
  text,
  tokens,
} from './fixture.ts'

export interface DeskOptions extends Pick<EdgeOptions, 'guard' | 'stayInPath' | 'clock' | 'repeater'> {
  readonly self?: EdgeNode
  readonly worker?: number
  readonly cluster?: Partial<Cluster>
  /** The group without a living member. */
  readonly down?: string
}

const firstOf = (group: string) => MEMBERS.find((member) => member.group === group) as MemberRow

/** An edge between fake transports; groups `a` and `b` are served unless one is `down`. */
export function edgeOf({ self = S1A, worker = 0, cluster = {}, down = '', ...more }: DeskOptions = {}) {
  const outside = new FakeTransport(self.outside[0] as Endpoint)
  const inside = new FakeTransport(self.inside[worker] as Endpoint)
  const toGroup: { group: string; text: string }[] = []
  const now = clusterOf(cluster)
  const edge = new Edge({
    self: edgeWorker(self, worker),
    outside,
    inside,
    cluster: () => now,
    tokens,
    members: {
      serving: ({ name }) =>
        name === down
          ? undefined
          : { member: firstOf(name), send: (text) => toGroup.push({ group: name, text }) },
    },
    log: { debug: () => {} },
    ...more,
  })
  const receive = (wire: string, source: Endpoint = ALICE, face: Face = 'outside') =>
    edge.receive(batch(source, wire), face)
  /** Everything sent since the last call. */
  const taken = () => [...toGroup.splice(0), ...outside.sent.splice(0), ...inside.sent.splice(0)]
  /** What one message made it send. */
  const one = (wire: string, source?: Endpoint, face?: Face) => {
    receive(wire, source, face)
    const [only, ...more] = taken()
    if (!only || more.length > 0) throw new Error(`${more.length + (only ? 1 : 0)} messages instead of one`)
    return only.text
  }
  return { edge, receive, taken, one, outside, inside, toGroup, counters: edge.counters }
}

export const HEX = '[0-9a-f]{32}'
export const wire = (method: string, uri: string, more?: readonly string[]) =>
  text(requestLines(method, uri, more))
export const INVITE = wire('INVITE', 'sip:alice@example.com')

/** `message` with one thing changed, which must be there. */
export function swap(message: string, from: string | RegExp, to: string): string {
  const swapped = message.replace(from, to)
  if (swapped === message) throw new Error(`${from} is not there`)
  return swapped
}

/** The same as a member of the cluster sends it. */
export const sentBy = ({ address, port }: Endpoint, message: string) =>
  swap(message, /^Via: .*$/m, `Via: SIP/2.0/UDP ${address}:${port};branch=z9hG4bKmember`)
export const branchOf = (message: string) => parsed(message).topVia?.branch ?? ''
export const flow = (to: Endpoint, at: Endpoint) => `<sip:${tokens.mint(to)}@${at.address}:${at.port};lr>`
export const statusOf = (message: string) => parsed(message).status
export const inDialog = (message: string) =>
  swap(message, 'To: <sip:bob@example.com>', 'To: <sip:bob@example.com>;tag=t1')

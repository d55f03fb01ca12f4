import type { BindingRow } from '../../db/binding-store.ts'
import type { Cluster, EdgeNode } from '../../src/partition/cluster.ts'
import { type HashBy, type MapRows, PartitionMap } from '../../src/partition/partition-map.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { parseUri } from '../../src/sip/uri.ts'
import { uriKey } from '../../src/sip/uri-compare.ts'
import { UNNUMBERED } from '../../stage2/location.ts'

export const udp = (address: string, port = 5060): Endpoint => ({ transport: 'udp', address, port })

/** The member under test, `m1`, and the stage-1 node in front of it. */
export const here = udp('192.0.2.71', 5071)
/** Where its only worker speaks to the member. */
export const edgeInside = udp('192.0.2.60', 5160)
export const edgeOutside = udp('203.0.113.1')
export const edge: EdgeNode = {
  name: 's1',
  outside: [edgeOutside, udp('2001:db8:ffff::1')],
  inside: [edgeInside],
}

const ALL_SLOTS = [{ first: 0, last: 16_383, group: 'a' }]

export interface ClusterParts {
  readonly version?: number
  readonly domains?: readonly string[]
  readonly hashBy?: HashBy
  readonly pins?: MapRows['pins']
  readonly ranges?: MapRows['ranges']
  /** Who may speak to the inside, besides edge and member. */
  readonly insiders?: readonly string[]
  readonly edges?: readonly EdgeNode[]
}

/** Two groups, `a` with member `m1` and `b` with `m2`; all slots belong to `a` unless `ranges` says otherwise. */
export function testCluster(parts: ClusterParts = {}): Cluster {
  const { domains = ['example.com'], ranges = ALL_SLOTS, edges = [edge], insiders = [] } = parts
  const { hashBy = 'user', pins = [] } = parts
  const map = new PartitionMap({
    version: parts.version ?? 1,
    domains: domains.map((name) => ({ name, realm: name, hashBy })),
    groups: [{ name: 'a' }, { name: 'b' }],
    members: [
      { group: 'a', node: 'm1', role: 'master', priority: 0, address: here.address, port: here.port },
      { group: 'b', node: 'm2', role: 'master', priority: 0, address: '192.0.2.72', port: 5071 },
    ],
    ranges,
    pins,
  })
  const insideAddresses = new Set([here.address, edgeInside.address, ...insiders])
  return { map, edges, insideAddresses, keys: { current: Buffer.alloc(32, 7), previous: undefined } }
}

/** A binding of `bob@example.com` as PostgreSQL has it, for an hour. */
export function binding(contact: string, nowMs: number, changes: Partial<BindingRow> = {}): BindingRow {
  const uri = parseUri(contact)
  return {
    slot: 0,
    aor: 'bob@example.com',
    key: uri ? uriKey(uri) : contact,
    contact,
    params: '',
    q: 1000,
    path: [],
    callId: 'reg-1',
    cseq: 1,
    instance: null,
    regId: null,
    userAgent: null,
    received: null,
    expiresAt: nowMs + 3_600_000,
    changedAt: nowMs,
    deleted: false,
    rev: 1,
    ...changes,
  }
}

/** The same as a change made here. */
export const change = (contact: string, nowMs: number, changes: Partial<BindingRow> = {}): BindingRow =>
  binding(contact, nowMs, { rev: UNNUMBERED, ...changes })

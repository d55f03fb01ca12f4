import { parseHostPort } from '../src/ops/host-port.ts'
import type { MapRows, MemberRow, DomainRow as ServedDomain } from '../src/partition/partition-map.ts'
import type { Database } from './database.ts'
import type { NodeRow } from './node-store.ts'

export type { HashBy, MemberRow, SlotRange } from '../src/partition/partition-map.ts'
export type { PinRow } from '../src/partition/pins.ts'

export interface DomainRow extends ServedDomain {
  /** Whether callers are to authenticate with their own group (design §2). */
  readonly callerAuth: boolean
}

export interface GroupRow {
  readonly name: string
  readonly state: 'active' | 'draining'
  /** Database of its users and bindings; null: the default one. */
  readonly databaseUrls: readonly string[] | null
}

/** The map and the nodes, in one snapshot of the database. Members that have only an SRV name are left out: nothing resolves it yet. */
export interface MapSnapshot extends MapRows {
  readonly domains: readonly DomainRow[]
  readonly groups: readonly GroupRow[]
  /** All processes that ever reported themselves; see `heartbeatAt` and `state`. */
  readonly nodes: readonly NodeRow[]
  /** Changes with stage, addresses or state of any node, not with heartbeats. */
  readonly nodesRev: number
}

/** One statement sees one snapshot, in one round trip. */
const LOAD = {
  name: 'load-map',
  text: `select json_build_object(
  'version', (select version from tandem.map_state),
  'domains', (select coalesce(json_agg(json_build_object('name', name, 'realm', realm, 'hashBy', hash_by,
    'callerAuth', caller_auth) order by name), '[]') from tandem.domain),
  'groups', (select coalesce(json_agg(json_build_object('name', name, 'state', state, 'databaseUrls', database_urls)
    order by name), '[]') from tandem.sip_group),
  'pins', (select coalesce(json_agg(json_build_object('kind', kind, 'value', value, 'group', group_name)
    order by kind, value), '[]') from tandem.pin),
  'members', (select coalesce(json_agg(json_build_object('group', group_name, 'node', node, 'role', role,
      'priority', priority, 'sipAddress', sip_address) order by group_name, role, priority, node), '[]')
    from tandem.member where sip_address is not null),
  'ranges', (select coalesce(json_agg(json_build_object('first', first, 'last', last, 'group', group_name)
    order by first), '[]') from tandem.slot_range),
  'nodes', (select coalesce(json_agg(json_build_object('name', name, 'stage', stage, 'addresses', addresses,
      'version', version, 'mapVersion', map_version, 'state', state, 'reason', reason,
      'startedAt', (date_part('epoch', started_at) * 1000)::bigint,
      'heartbeatAt', (date_part('epoch', heartbeat_at) * 1000)::bigint) order by name), '[]') from tandem.node),
  'nodesRev', (select coalesce(max(rev), 0) from tandem.node)) as snapshot`,
}

type Loaded = Omit<MapSnapshot, 'members'> & {
  members: (Omit<MemberRow, 'address' | 'port'> & { sipAddress: string })[]
}

/**
 * The map as it is now. Without ranges when nobody has made any yet.
 * @throws TandemError, as {@link Database.query}
 */
export async function loadMap(db: Database): Promise<MapSnapshot> {
  const [row] = await db.query<{ snapshot: Loaded }>(LOAD)
  if (!row) throw new Error('the map is one row')
  return { ...row.snapshot, members: row.snapshot.members.map(toMember) }
}

function toMember({ sipAddress, ...member }: Loaded['members'][number]): MemberRow {
  const parsed = parseHostPort(sipAddress)
  if (!parsed) throw new Error(`member ${member.node}: ${sipAddress} is not an IP address and a port`)
  return { ...member, address: parsed.address, port: parsed.port }
}

const VERSION = {
  name: 'map-version',
  text: `select (select version from tandem.map_state) as version,
    (select coalesce(max(rev), 0) from tandem.node) as "nodesRev"`,
}

/** What tells whether a snapshot is still true. */
export type MapVersion = Pick<MapSnapshot, 'version' | 'nodesRev'>

/** @throws TandemError, as {@link Database.query} */
export async function readMapVersion(db: Database): Promise<MapVersion> {
  const [row] = await db.query<MapVersion>(VERSION)
  if (!row) throw new Error('the map has no version')
  return row
}

import { parseHostPort } from '../src/ops/host-port.ts'
import type { MapRows, MemberRow, DomainRow as ServedDomain } from '../src/partition/partition-map.ts'
import type { Database } from './database.ts'
import { isSilentSql, type NodeRow } from './node-store.ts'

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
  /** Names of the stage-1 nodes that have fallen silent without saying that they stop, in alphabetical order. */
  readonly silent: readonly string[]
}

const SILENT = `(select coalesce(json_agg(n.name order by n.name), '[]') from tandem.node n
  where n.stage = 'stage1' and n.state <> 'stopped' and ${isSilentSql('$1')})`

/** One statement sees one snapshot, in one round trip. */
const LOAD = {
  name: 'load-map',
  text: `select json_build_object(
  'version', (select version from tandem.map_state),
  'domains', (select coalesce(json_agg(json_build_object('name', name, 'realm', realm, 'hashBy', hash_by,
    'callerAuth', caller_auth, 'redirect', redirect) order by name), '[]') from tandem.domain),
  'groups', (select coalesce(json_agg(json_build_object('name', name, 'state', state, 'databaseUrls', database_urls)
    order by name), '[]') from tandem.sip_group),
  'pins', (select coalesce(json_agg(json_build_object('kind', kind, 'value', value, 'group', group_name)
    order by kind, value), '[]') from tandem.pin),
  'members', (select coalesce(json_agg(json_build_object('group', group_name, 'node', node, 'role', role,
      'priority', priority, 'sipAddress', sip_address) order by group_name, role, priority, node), '[]')
    from tandem.member where sip_address is not null),
  'ranges', (select coalesce(json_agg(json_build_object('first', first, 'last', last, 'group', group_name)
    order by first), '[]') from tandem.slot_range),
  'nodes', (select coalesce(json_agg(json_build_object('name', name, 'isSilent', ${isSilentSql('$1')}, 'stage', stage, 'addresses', addresses,
      'version', version, 'mapVersion', map_version, 'state', state, 'reason', reason,
      'startedAt', (date_part('epoch', started_at) * 1000)::bigint,
      'heartbeatAt', (date_part('epoch', heartbeat_at) * 1000)::bigint) order by name), '[]') from tandem.node n),
  'silent', ${SILENT},
  'nodesRev', (select coalesce(max(rev), 0) from tandem.node)) as snapshot`,
}

type Loaded = Omit<MapSnapshot, 'members'> & {
  members: (Omit<MemberRow, 'address' | 'port'> & { sipAddress: string })[]
}

/**
 * The map as it is now. Without ranges when nobody has made any yet. `heardSince`: from when on nodes could report themselves
 * without a break, by PostgreSQL's clock, in milliseconds since the epoch.
 * @throws TandemError, as {@link Database.query}
 */
export async function loadMap(db: Database, heardSince = 0): Promise<MapSnapshot> {
  const [row] = await db.query<{ snapshot: Loaded }>(LOAD, [heardSince])
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
    (select coalesce(max(rev), 0) from tandem.node) as "nodesRev",
    ${SILENT} as silent, (date_part('epoch', now()) * 1000)::bigint as now`,
}

/** What tells whether a snapshot is still true. */
export type MapVersion = Pick<MapSnapshot, 'version' | 'nodesRev' | 'silent'>

/** With the time by PostgreSQL's clock. @throws TandemError, as {@link Database.query} */
export async function readMapVersion(db: Database, heardSince = 0): Promise<MapVersion & { now: number }> {
  const [row] = await db.query<MapVersion & { now: number }>(VERSION, [heardSince])
  if (!row) throw new Error('the map has no version')
  return row
}

import type { Command } from 'commander'
import { findAlias } from '../db/alias-store.ts'
import { type BindingRow, findBindings } from '../db/binding-store.ts'
import type { Database } from '../db/database.ts'
import { loadMap, type MapSnapshot, type PinRow } from '../db/map-store.ts'
import type { NodeRow } from '../db/node-store.ts'
import { findSubscriber, type SubscriberRow } from '../db/subscriber-store.ts'
import { aliasesOf, databaseNow } from '../db/user-admin.ts'
import { TandemError } from '../src/ops/errors.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import { PartitionMap } from '../src/partition/partition-map.ts'
import { slotOf } from '../src/partition/slot.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import { type CommandContext, printResult } from './command-context.ts'
import { explanationText } from './explain-text.ts'
import { rangeText } from './map-text.ts'
import { withDatabase } from './operator-database.ts'
import { parseTypedAor, shown, type TypedAor } from './typed-aor.ts'

export function addExplainCommand(program: Command, context: CommandContext): void {
  program
    .command('explain')
    .description('who serves an address of record, and why; whether it is known, and where it is registered')
    .argument('<aor>', 'sip:alice@example.com, alice@example.com, +49-30-123')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  tandem explain sip:alice@example.com
  tandem explain bob@example.com --json

It tells what PostgreSQL knows. Which member a stage-1 node sends to, that node decides by its own probes.`,
    )
    .action((text: string, { json }: { json?: boolean }) =>
      withDatabase(context, async (db) => {
        const staleMs = STALE_INTERVALS * context.config().refreshIntervalMs
        const explanation = await explain(db, parseTypedAor(text), staleMs)
        printResult(context, json, explanation, () => explanationText(explanation))
      }),
    )
}

/** A node reports itself every refresh interval; one that has missed this many is probably gone. */
const STALE_INTERVALS = 5

/** Texts are for people (Unicode), times in milliseconds. */
export interface Explanation {
  readonly aor: string
  readonly domain: { readonly name: string; readonly served: boolean; readonly hashBy: string }
  /** What is hashed, and compared with pins. */
  readonly key: string
  readonly slot: number
  readonly mapVersion: number
  /** null while the map is empty. */
  readonly decidedBy: { readonly kind: 'pin' | 'prefix' | 'range'; readonly rule: string } | null
  /** null while the map is empty. */
  readonly group: string | null
  readonly groupState: string | null
  /** In the order in which they are to serve. */
  readonly members: readonly ExplainedMember[]
  /** The member that serves as far as the database tells; null: none. */
  readonly serving: string | null
  readonly why: string
  readonly subscriber: { readonly enabled: boolean; readonly ha1: readonly string[] } | null
  /** The address of record that this one stands for. */
  readonly aliasOf: string | null
  readonly aliases: readonly string[]
  readonly bindings: readonly ExplainedBinding[]
  readonly nodes: readonly ExplainedNode[]
}

export interface ExplainedMember {
  readonly node: string
  readonly role: 'master' | 'slave'
  readonly address: string
  /** As it reported itself; null: it never did. */
  readonly state: string | null
  readonly reason: string | null
  readonly heartbeatAgeMs: number | null
  readonly isStale: boolean
}

export interface ExplainedBinding {
  readonly contact: string
  /** Stage-1 node that holds the flow, or its address where no node is known there; null: no Path. */
  readonly through: string | null
  readonly expiresInMs: number
  readonly userAgent: string | null
}

export interface ExplainedNode {
  readonly name: string
  readonly stage: string
  readonly state: string
  readonly heartbeatAgeMs: number
  readonly isStale: boolean
  readonly mapVersion: number
  /** Versions that it has not heard of yet. */
  readonly behind: number
}

/** @throws TandemError USAGE for a user without a domain where several are served; and as `Database.query` */
export async function explain(db: Database, typed: TypedAor, staleMs: number): Promise<Explanation> {
  const snapshot = await loadMap(db)
  const now = await databaseNow(db)
  const { user, uri } = typed
  const domain = typed.domain === '' ? onlyDomain(snapshot, typed) : typed.domain
  const served = snapshot.domains.find(({ name }) => name === shown(domain))
  const hashBy = served?.hashBy ?? 'user'
  const key = hashBy === 'user@domain' ? `${user}@${domain}` : user
  const slot = slotOf(key)
  const group = snapshot.ranges.length === 0 ? undefined : new PartitionMap(snapshot).ownerOf(key)
  const [subscriber, alias] = [await findSubscriber(db, domain, user), await findAlias(db, domain, user)]
  const aliases = await aliasesOf(db, domain, user)
  const bindings = await findBindings(db, slot, `${user}@${domain}`)
  const nodes = snapshot.nodes.map((node) => explainNode(node, snapshot.version, now, staleMs))
  const members = (group?.members ?? []).map((row) => explainMember(row, snapshot.nodes, now, staleMs))
  return {
    aor: shown(uri.scheme === 'tel' || typed.domain === '' ? `${user}@${domain}` : uri.text),
    domain: { name: shown(domain), served: served !== undefined, hashBy },
    key,
    slot,
    mapVersion: snapshot.version,
    decidedBy: group ? ruleOf(key, slot, snapshot) : null,
    group: group?.name ?? null,
    groupState: snapshot.groups.find(({ name }) => name === group?.name)?.state ?? null,
    members,
    ...servingMember(members),
    subscriber: subscriber ? { enabled: subscriber.enabled, ha1: algorithmsOf(subscriber) } : null,
    aliasOf: alias ? shown(`${alias.targetUser}@${alias.targetDomain}`) : null,
    aliases: aliases.map(shown),
    bindings: bindings
      .filter(({ deleted, expiresAt }) => !deleted && expiresAt > now)
      .map((row) => explainBinding(row, snapshot.nodes, now)),
    nodes,
  }
}

function onlyDomain({ domains }: MapSnapshot, { user }: TypedAor): string {
  const [only] = domains
  if (only && domains.length === 1) return only.name
  throw new TandemError('USAGE', `${shown(user)} names no domain`, {
    hint: `served here: ${domains.map(({ name }) => name).join(', ') || 'none'}`,
  })
}

/** The rule behind `PartitionMap.ownerOf`, which knows only the group. */
function ruleOf(key: string, slot: number, { pins, ranges }: MapSnapshot): Explanation['decidedBy'] {
  const isOf = (kind: PinRow['kind']) => (pin: PinRow) => pin.kind === kind
  const exact = pins.filter(isOf('user')).find(({ value }) => value === key)
  if (exact) return { kind: 'pin', rule: exact.value }
  const prefixes = pins.filter(isOf('prefix')).filter(({ value }) => key.startsWith(value))
  const [longest] = prefixes.sort((a, b) => b.value.length - a.value.length)
  if (longest) return { kind: 'prefix', rule: `${longest.value}*` }
  const range = ranges.find(({ first, last }) => first <= slot && slot <= last)
  if (!range) throw new Error(`slot ${slot} belongs to no range`)
  return { kind: 'range', rule: rangeText(range.first, range.last) }
}

function explainMember(
  { node, role, address, port }: MapSnapshot['members'][number],
  nodes: readonly NodeRow[],
  now: number,
  staleMs: number,
): ExplainedMember {
  const row = nodes.find(({ name, stage }) => name === node && stage === 'stage2')
  const heartbeatAgeMs = row ? age(row, now) : null
  return {
    node,
    role,
    address: formatHostPort({ address, port }),
    state: row?.state ?? null,
    reason: row?.reason ?? null,
    heartbeatAgeMs,
    isStale: heartbeatAgeMs !== null && heartbeatAgeMs > staleMs,
  }
}

const age = ({ heartbeatAt }: NodeRow, now: number) => Math.max(0, now - heartbeatAt)

const SERVES: ReadonlySet<string | null> = new Set(['serving', 'degraded'])

function servingMember(members: readonly ExplainedMember[]): Pick<Explanation, 'serving' | 'why'> {
  const serving = members.find(({ state, isStale }) => SERVES.has(state) && !isStale)
  const before = members.slice(0, serving ? members.indexOf(serving) : members.length)
  const passedOver = before.map((member) => `${member.node}, its ${member.role}, ${conditionOf(member)}`)
  if (!serving) {
    return { serving: null, why: passedOver.join('; ') || 'the group has no member with an address' }
  }
  const itself = `it is the ${serving.role} and reports itself ${serving.state}`
  return { serving: serving.node, why: [itself, ...passedOver].join('; ') }
}

function conditionOf({ state, isStale }: ExplainedMember): string {
  if (state === null) return 'has never reported itself'
  return isStale && state !== 'stopped' ? 'has not been heard of lately' : `is ${state}`
}

function explainNode(node: NodeRow, mapVersion: number, now: number, staleMs: number): ExplainedNode {
  const heartbeatAgeMs = age(node, now)
  return {
    name: node.name,
    stage: node.stage,
    state: node.state,
    heartbeatAgeMs,
    isStale: heartbeatAgeMs > staleMs,
    mapVersion: node.mapVersion,
    behind: Math.max(0, mapVersion - node.mapVersion),
  }
}

function explainBinding(row: BindingRow, nodes: readonly NodeRow[], now: number): ExplainedBinding {
  const [first] = row.path
  return {
    contact: shown(row.contact),
    through: first === undefined ? null : pathNode(first, nodes),
    expiresInMs: Math.round(row.expiresAt - now),
    userAgent: row.userAgent === null ? null : shown(row.userAgent),
  }
}

/** A stage-1 node names its inside face in Path. */
function pathNode(path: string, nodes: readonly NodeRow[]): string {
  const uri = parseNameAddr(path)?.uri
  const place = uri ? formatHostPort({ address: uri.host, port: uri.port }) : path
  return (
    nodes.find(({ addresses }) => Object.values(addresses).some((list) => list.split(/,\s*/).includes(place)))
      ?.name ?? shown(place)
  )
}

const algorithmsOf = ({ ha1Md5, ha1Sha256, ha1Sha512256 }: SubscriberRow): string[] =>
  [
    ha1Md5 === null ? '' : 'MD5',
    ha1Sha256 === null ? '' : 'SHA-256',
    ha1Sha512256 === null ? '' : 'SHA-512-256',
  ].filter((name) => name !== '')

import { isIPv6 } from 'node:net'
import { DEMO_DOMAIN, demoPassword } from '../db/demo.ts'
import { formatHostPort, type HostPort } from '../src/ops/host-port.ts'
import type { MemberRow, SlotRange } from '../src/partition/partition-map.ts'
import { phonesIn } from './demo-phones.ts'
import type { UpContents, UpDatabase } from './up-database.ts'
import type { PlannedNode } from './up-plan.ts'

export interface UpState {
  readonly version: string
  readonly nodes: readonly PlannedNode[]
  readonly database: Pick<UpDatabase, 'shownUrl' | 'dataDir'>
  readonly contents: Pick<UpContents, 'users'> & { readonly map: ShownMap }
}

/** What of the map is shown. */
interface ShownMap {
  readonly domains: readonly { readonly name: string }[]
  readonly groups: readonly { readonly name: string }[]
  readonly members: readonly (HostPort & Pick<MemberRow, 'group' | 'node' | 'role'>)[]
  readonly ranges: readonly SlotRange[]
}

/** What `tandem up` prints once everything is ready: where everything is, and what to try. */
export function summary(state: UpState): string {
  return [
    `Tandem ${state.version} is running. Ctrl-C stops it.`,
    section('Stage 1', stage1Lines(state)),
    section('Stage 2', stage2Lines(state)),
    section('PostgreSQL', databaseLines(state)),
    section('What a carrier would publish in DNS', dnsLines(state)),
    section('To try, in another terminal', tryLines(state)),
  ].join('\n\n')
}

const section = (title: string, lines: readonly string[]) =>
  [title, ...lines.map((line) => `  ${line}`)].join('\n')

function stage1Lines({ nodes }: UpState): string[] {
  return table(
    edges(nodes).map(({ name, config: { stage1 } }) => [
      name,
      `outside ${stage1.edge.map(formatHostPort).join(', ')}`,
      `inside ${formatHostPort(stage1.inside)}${stage1.workers > 1 ? ` and up, ${stage1.workers} workers` : ''}`,
    ]),
  )
}

function stage2Lines({ contents: { map, users } }: UpState): string[] {
  return map.groups.flatMap(({ name }) => {
    const members = map.members.filter(({ group }) => group === name)
    const ranges = map.ranges.filter(({ group }) => group === name)
    const theirs = users.find(({ group }) => group === name)
    const more = theirs && theirs.count > theirs.names.length ? ', …' : ''
    return [
      `group ${name}: ${members.map((m) => `${m.node} ${m.role} ${formatHostPort(m)}`).join(', ')}`,
      `         users ${theirs ? theirs.names.join(', ') : 'none'}${more}`,
      `         slots ${ranges.map(rangeText).join(', ')}`,
    ]
  })
}

const rangeText = ({ first, last }: SlotRange) => (first === last ? `${first}` : `${first}-${last}`)

function databaseLines({ database: { shownUrl, dataDir } }: UpState): string[] {
  return [`psql '${shownUrl}'`, ...(dataDir === undefined ? [] : [`data in ${dataDir}`])]
}

const TTL_SEC = 60

/** Equal priority and weights, a life short enough for fail-over, and plain addresses for clients that know no better. */
function dnsLines({ nodes, contents }: UpState): string[] {
  const domain = contents.map.domains[0]?.name ?? DEMO_DOMAIN
  const hosts = edges(nodes).flatMap(({ name, config }) =>
    config.stage1.edge.map((edge) => ({ name: `${name}.${domain}.`, ...edge })),
  )
  const address = ({ address }: { address: string }) => [isIPv6(address) ? 'AAAA' : 'A', address]
  const addresses = new Set(hosts.map((host) => host.address))
  return table([
    ...['udp', 'tcp'].flatMap((transport) =>
      hosts.map(({ name, port }) => [
        `_sip._${transport}.${domain}.`,
        `${TTL_SEC}`,
        'IN',
        'SRV',
        `10 50 ${port} ${name}`,
      ]),
    ),
    ...hosts.map((host) => [host.name, `${TTL_SEC}`, 'IN', ...address(host)]),
    ...[...addresses].map((each) => [`${domain}.`, `${TTL_SEC}`, 'IN', ...address({ address: each })]),
  ])
}

/** Tried to the letter with Debian's sipsak and baresip-core. sipsak heeds -p only before -s. */
function tryLines({ nodes, database: { dataDir }, contents: { users } }: UpState): string[] {
  const edge = edges(nodes)[0]?.config.stage1.edge[0]
  if (!edge) return []
  const proxy = formatHostPort(edge)
  if (!users.some(({ names }) => names.includes('carol'))) return [`sipsak -v -s sip:${proxy}`]
  const carol = `-u carol -a ${demoPassword('carol')} -s sip:carol@${DEMO_DOMAIN}`
  const register = [
    'carol registers:',
    `  sipsak -v -U -p ${proxy} -x 60 -C sip:carol@${formatHostPort({ ...edge, port: 6000 })} ${carol}`,
  ]
  if (dataDir === undefined) return register
  const phone = (user: string) => `baresip -f ${phonesIn(dataDir, user)}`
  return [
    ...register,
    'bob waits for a call; then, in a third terminal, alice calls him:',
    `  ${phone('bob')}`,
    `  ${phone('alice')} -e '/dial sip:bob@${DEMO_DOMAIN}'`,
  ]
}

const edges = (nodes: readonly PlannedNode[]) => nodes.filter(({ stage }) => stage === 'stage1')

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('   ')
      .trimEnd(),
  )
}

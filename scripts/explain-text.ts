import type { ExplainedMember, ExplainedNode, Explanation } from './explain.ts'
import { section, textTable } from './text-table.ts'

export function explanationText(it: Explanation): string {
  return [
    it.aor,
    decisionLines(it).join('\n'),
    ...(it.group === null
      ? []
      : [section(`Members of group ${it.group}, in the order in which they are to serve`, memberLines(it))]),
    section('User', userLines(it)),
    section('Registered', bindingLines(it)),
    section(`Nodes; the map is version ${it.mapVersion}`, nodeLines(it.nodes)),
  ].join('\n\n')
}

function decisionLines({ domain, key, slot, decidedBy, group, groupState }: Explanation): string[] {
  const served = domain.served
    ? `domain ${domain.name} hashes by ${domain.hashBy}`
    : `domain ${domain.name} is not served here: requests for it are refused`
  const hashed = [`  hashed      ${key}   (${served})`, `  slot        ${slot}`]
  if (decidedBy === null) {
    return [...hashed, '  decided by  nothing: the map is empty. Begin with `tandem map add-group`']
  }
  const { kind, rule } = decidedBy
  return [
    ...hashed,
    `  decided by  ${kind === 'range' ? `slots ${rule}` : `${kind} ${rule}, which goes before the slot`}`,
    `  group       ${group}${groupState === 'active' ? '' : `, ${groupState}`}`,
  ]
}

function memberLines({ members, serving, why }: Explanation): string[] {
  if (members.length === 0) return ['none with an address']
  const table = textTable(
    ['', 'Node', 'Role', 'Address', 'State', 'Last heard of'],
    members.map((member) => [
      member.node === serving ? '*' : '',
      member.node,
      member.role,
      member.address,
      stateText(member),
      ageText(member.heartbeatAgeMs),
    ]),
  )
  const verdict = serving === null ? `nobody serves: ${why}` : `${serving} serves: ${why}`
  return [
    ...table,
    `${verdict}.`,
    'A stage-1 node decides by its own probes, of which the database does not know.',
  ]
}

function stateText({ state, reason, isStale }: ExplainedMember): string {
  if (state === null) return 'never started'
  const text = reason === null ? state : `${state}: ${reason}`
  return isStale && state !== 'stopped' ? `silent (was ${text})` : text
}

function userLines({ subscriber, aliasOf, aliases }: Explanation): string[] {
  const lines = aliases.map((alias) => `${alias} is an alias of this`)
  if (aliasOf !== null) lines.unshift(`an alias of ${aliasOf}: tandem explain ${aliasOf}`)
  if (!subscriber) return aliasOf === null ? ['not known: no such subscriber', ...lines] : lines
  const digest = subscriber.ha1.length === 0 ? 'no password' : `password for ${subscriber.ha1.join(', ')}`
  return [`${subscriber.enabled ? 'known and enabled' : 'known, but disabled'}; ${digest}`, ...lines]
}

function bindingLines({ bindings }: Explanation): string[] {
  if (bindings.length === 0) return ['nowhere']
  return textTable(
    ['Contact', 'Through', 'Expires in', 'User agent'],
    bindings.map(({ contact, through, expiresInMs, userAgent }) => [
      contact,
      through,
      durationText(expiresInMs),
      userAgent,
    ]),
  )
}

function nodeLines(nodes: readonly ExplainedNode[]): string[] {
  if (nodes.length === 0) return ['none has ever reported itself']
  return textTable(
    ['Node', 'Stage', 'State', 'Last heard of', 'Map', ''],
    nodes.map(({ name, stage, state, isStale, heartbeatAgeMs, mapVersion, behind }) => [
      name,
      stage.slice(-1),
      isStale && state !== 'stopped' ? `silent (was ${state})` : state,
      ageText(heartbeatAgeMs),
      `${mapVersion}`,
      behind === 0 || state === 'stopped' ? '' : `behind by ${behind}`,
    ]),
  )
}

const ageText = (ms: number | null): string => (ms === null ? '-' : `${durationText(ms)} ago`)

/** `0.4 s`, `59 s`, `12 min 5 s`, `3 h 20 min`, `4 days` */
export function durationText(ms: number): string {
  const sec = Math.floor(ms / 1000)
  if (sec < 10) return `${(ms / 1000).toFixed(1)} s`
  if (sec < 60) return `${sec} s`
  if (sec < 3_600) return `${Math.floor(sec / 60)} min ${sec % 60} s`
  if (sec < 172_800) return `${Math.floor(sec / 3_600)} h ${Math.floor((sec % 3_600) / 60)} min`
  return `${Math.floor(sec / 86_400)} days`
}

import { isIPv4, isIPv6 } from 'node:net'
import { availableParallelism, hostname } from 'node:os'
import { z } from 'zod'
import { type HostPort, parseHostPort } from './host-port.ts'

/*
 * The one description of all configuration. Everything else is derived from it: the names of the environment
 * variables, the table in the README, and what a refusal says is allowed.
 */

/** Attaches what the reference and the refusals say about a key. `meaning` names the unit where there is one. */
function key<T extends z.ZodType>(schema: T, meaning: string, allowed: string): T {
  return schema.meta({ description: meaning, allowed }) as T
}

function whole(min: number, max: number, fallback: number, meaning: string) {
  return key(z.int().min(min).max(max).default(fallback), meaning, `a whole number from ${min} to ${max}`)
}

function choice<const V extends readonly [string, ...string[]]>(
  values: V,
  fallback: V[number],
  meaning: string,
) {
  return key(z.enum(values).default(fallback as never), meaning, `one of ${values.join(', ')}`)
}

/** Tools that nobody but an attacker points at a carrier. Not sipsak: people watch their servers with it. */
const SCANNERS = [
  'friendly-scanner',
  'friendly-request',
  'sipvicious',
  'sipcli',
  'sip-scan',
  'sipscan',
  'sundayddr',
  'VaxSIPUserAgent',
  'VaxIPUserAgent',
  'pplsip',
  'siparmyknife',
  'iWar',
  'SIVuS',
  'Nmap',
]

const WILDCARD = /^(?:0\.0\.0\.0|[0:]+)$/

/** An address goes into Via, Path and table `node`: others must be able to send to it. */
const NO_WILDCARD = {
  code: 'custom',
  params: { allowed: 'one address that others can send to, not all of them' },
} as const

const address = z.string().transform((text, context): HostPort => {
  const parsed = parseHostPort(text)
  if (!parsed) {
    context.addIssue({ code: 'custom' })
    return z.NEVER
  }
  if (WILDCARD.test(parsed.address)) {
    context.addIssue(NO_WILDCARD)
    return z.NEVER
  }
  return parsed
})

const ADDRESS = 'an IP address and a port, such as 192.0.2.1:5060 or "[2001:db8::1]:5060"'

function hostPort(fallback: string, meaning: string) {
  return key(address.prefault(fallback), meaning, ADDRESS)
}

/** One address, or one of each version of IP. */
function hostPorts(fallback: string, meaning: string) {
  const schema = z.union([z.string(), z.array(z.string())]).transform((texts, context): HostPort[] => {
    const parsed = [texts].flat().map(parseHostPort)
    const places = parsed.filter((place) => place !== undefined)
    const versions = new Set(places.map((place) => isIPv6(place.address)))
    if (places.some((place) => WILDCARD.test(place.address))) context.addIssue(NO_WILDCARD)
    else if (parsed.length === 0 || versions.size !== parsed.length) context.addIssue({ code: 'custom' })
    return places
  })
  const allowed = `${ADDRESS}; or a list of two, one of IPv4 and one of IPv6`
  return key(schema.prefault(fallback), meaning, allowed).meta({ kind: 'addresses' })
}

const port = z.int().min(1).max(65535)

function ports<const P extends readonly number[]>(fallback: P, meaning: string) {
  const schema = z
    .array(port)
    .length(fallback.length)
    .refine((list) => new Set(list).size === list.length, { abort: true })
    .default([...fallback])
  return key(schema, meaning, `a list of ${fallback.length} different ports`)
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text)
}

const databaseUrl = z
  .union([z.string(), z.array(z.string())])
  .transform((urls) => [urls].flat())
  .refine((urls) => urls.every(isPostgresUrl))

const database = z.strictObject({
  url: key(
    databaseUrl.prefault([]),
    'Where PostgreSQL (14 or newer) is. With several URLs the first that accepts writes is used. `tandem up` without it runs a PostgreSQL of its own.',
    'a URL such as postgres://user@host:5432/tandem, or a list of them; special characters in its password percent-encoded',
  ),
  connectTimeoutMs: whole(100, 60_000, 3_000, 'How long one attempt to connect may take, in milliseconds.'),
  statementTimeoutMs: whole(100, 600_000, 5_000, 'How long one statement may run, in milliseconds.'),
  poolSize: whole(1, 100, 4, 'Connections each node keeps to PostgreSQL, not counting the one that listens.'),
})

function isNetwork(text: string): boolean {
  const [address = '', bits, more] = text.split('/')
  if (more !== undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return false
  return isIPv4(address) ? Number(bits ?? 32) <= 32 : isIPv6(address) && Number(bits ?? 128) <= 128
}

const guard = z.strictObject({
  rate: whole(
    1,
    1_000_000,
    200,
    'Messages a second that one source (an IPv4 address or an IPv6 /64) may send for long, per worker; what is over it is dropped without an answer. A keep-alive counts a quarter.',
  ),
  burst: whole(1, 1_000_000, 1_000, 'Messages that one source may send at once, per worker.'),
  strangersRate: whole(
    1,
    10_000_000,
    20_000,
    'Messages a second, per worker, of all sources together from which nobody has registered within two hours: a flood from forged sources ends here, and those who have registered do not notice. A quarter of it may come at once.',
  ),
  maxSources: whole(
    1_024,
    16_777_216,
    262_144,
    'Sources that a worker remembers, rounded up to a power of two, at 32 bytes each. When all places are held by registered sources and such as are over their rate, newcomers have half of strangersRate in common.',
  ),
  banAfter: whole(
    0,
    10_000,
    50,
    'Offences (relaying, unknown users, wrong credentials, malformed messages) within banWindowSec after which a source is banned. A registration makes up for two. A source from which somebody has registered is slowed to a tenth of its rate in place of that, since anybody can forge its address. 0: never.',
  ),
  banWindowSec: whole(1, 3_600, 60, 'The time over which offences are counted and forgotten, in seconds.'),
  banSec: whole(
    1,
    604_800,
    3_600,
    'How long a ban lasts, in seconds: all that comes from the source is dropped unread.',
  ),
  scanners: key(
    z
      .array(z.string().regex(/^[^\s,]{3,64}$/))
      .max(200)
      .default(SCANNERS),
    'What the User-Agent of a scanner contains, in any case: its request is not answered, and its source banned at once, unless somebody has registered from there.',
    'a list of words of 3 to 64 characters, `none` for none in the variable',
  ),
  exempt: key(
    z.array(z.string().refine(isNetwork)).max(1_000).default(['127.0.0.0/8', '::1']),
    'Networks that the guard lets through unjudged: trunks, own probes and, by default, this host itself. An IPv6 network smaller than /64 counts as its /64.',
    'a list of addresses and networks such as 192.0.2.0/24 or 2001:db8::/48, `none` for none in the variable',
  ),
})

const MAX_WORKERS = 128

/** How many processes a stage-1 node is to have. */
export const workerCount = ({ workers }: { readonly workers: number }): number =>
  workers || Math.min(availableParallelism(), MAX_WORKERS)

/** Whether a worker's inside face would be at an address; port 0 is any that is free. */
function isOneOf(own: HostPort, inside: HostPort, workers: number): boolean {
  if (own.address !== inside.address || own.port === 0) return false
  return own.port >= inside.port && own.port < inside.port + Math.max(workers, 1)
}

const tcp = z.strictObject({
  maxConnections: whole(1, 1_000_000, 10_000, 'TCP connections that one worker accepts at a time.'),
  maxPerSource: whole(
    1,
    1_000_000,
    1_000,
    'Of these, how many may come from one source (an IPv4 address or an IPv6 /64). Many phones may share the address of one router.',
  ),
  maxOpened: whole(1, 100_000, 1_000, 'TCP connections that one worker opens itself and holds at a time.'),
  connectSec: whole(1, 60, 5, 'How long opening a connection may take, in seconds.'),
  firstMessageSec: whole(
    1,
    3_600,
    20,
    'How long a new connection may stay without a complete message, in seconds.',
  ),
  messageSec: whole(
    1,
    600,
    20,
    'How long a message that has begun may take to arrive, and how long a peer may leave unread what is sent to it, in seconds.',
  ),
  idleSec: whole(
    130,
    604_800,
    7_500,
    'How long a connection may be without any message or keep-alive, in seconds. Above stage2.expires.maxSec a phone that sends no keep-alives stays reachable from one registration to the next.',
  ),
  bufferBytes: whole(
    65_536,
    16_777_216,
    262_144,
    'What may wait to be sent over one connection, in bytes; a peer that lets more wait is cut off.',
  ),
  bytesPerSec: whole(
    65_536,
    1_073_741_824,
    8_388_608,
    'What a worker reads in a second from one source over all its connections, in bytes; the rest has to wait for the next second.',
  ),
  totalBufferBytes: whole(
    1_048_576,
    4_294_967_296,
    67_108_864,
    'What may wait to be sent over all connections of one worker, with the unfinished messages that came, in bytes; beyond it those that hold most are cut off.',
  ),
})

const stage1 = z
  .strictObject({
    edge: hostPorts(
      '127.0.0.1:5060',
      'The outside face: where phones, trunks and the world send SIP, by UDP and by TCP.',
    ),
    inside: hostPort(
      '127.0.0.1:5160',
      'The inside face, trusted: where stage 2 sends. The first worker has this port, the next the one after it, and so on. Keep them off the public network.',
    ),
    workers: whole(
      0,
      MAX_WORKERS,
      0,
      'Processes that share the outside face. 0: one for each core; under `tandem up` one a node.',
    ),
    stayInPath: choice(
      ['always', 'needed'],
      'always',
      'Which clients get a Path and a Record-Route: all, or only those that can be reached in no other way (behind a NAT, on a connection, asking for outbound, or talking to such a one).',
    ),
    guard: guard.prefault({}),
    tcp: tcp.prefault({}),
    probeIntervalMs: whole(
      50,
      60_000,
      500,
      'Milliseconds between two OPTIONS probes of a member. Two misses take it out, two answers bring it back.',
    ),
  })
  .refine(({ edge, inside, workers }) => !edge.some((own) => isOneOf(own, inside, workers)), {
    path: ['inside'],
    message: 'must differ from stage1.edge, for each worker',
  })
  .refine(({ inside, workers }) => inside.port + Math.max(workers, 1) - 1 <= 65_535, {
    path: ['workers'],
    message: 'each worker needs a port of its own, from that of stage1.inside on, and those end at 65535',
  })

const expires = z
  .strictObject({
    minSec: whole(
      1,
      86_400,
      60,
      'Shortest registration accepted, in seconds; a shorter wish gets 423 with Min-Expires.',
    ),
    defaultSec: whole(1, 604_800, 3_600, 'Granted when a REGISTER names no time, in seconds.'),
    maxSec: whole(
      1,
      604_800,
      7_200,
      'Longest registration granted, in seconds; a longer wish is cut down to it.',
    ),
  })
  .refine((e) => e.minSec <= e.defaultSec && e.defaultSec <= e.maxSec, {
    path: ['defaultSec'],
    message: 'minSec, defaultSec and maxSec must not decrease in this order',
  })

const DIGEST_ALGORITHMS = ['MD5', 'SHA-256', 'SHA-512-256'] as const

const spool = z.strictObject({
  patienceMs: whole(
    50,
    60_000,
    1_000,
    'Milliseconds that PostgreSQL may take to commit registrations; then they go to the spool in stateDir, and from there to PostgreSQL later.',
  ),
  maxBytes: whole(
    65_536,
    1_099_511_627_776,
    1_073_741_824,
    'The spool grows no larger, in bytes (a registration takes some 400); beyond that registrations get 503 until PostgreSQL is back.',
  ),
})

const stage2 = z.strictObject({
  listen: hostPort(
    '127.0.0.1:5071',
    'Where the member listens for stage 1 and for other groups. Keep it off the public network.',
  ),
  directClients: key(
    z.array(z.string().refine(isNetwork)).max(1_000).default([]),
    'Networks whose clients may speak to the member directly, so that they can follow the redirection of a domain (`tandem map domain --redirect on`); all others only through stage 1.',
    'a list of addresses and networks such as 192.0.2.0/24 or 2001:db8::/48, `none` for none in the variable',
  ),
  expires: expires.prefault({}),
  maxContacts: whole(1, 1_000, 10, 'Contacts that one address of record may have at a time.'),
  digestAlgorithms: key(
    z
      .array(z.enum(DIGEST_ALGORITHMS))
      .min(1)
      .refine((list) => new Set(list).size === list.length)
      .default(['MD5']),
    'Digest algorithms offered, the preferred one first (RFC 8760). All phones know MD5; many, such as baresip 1.0, give up when another is offered beside it.',
    `a list of ${DIGEST_ALGORITHMS.join(', ')}, each at most once`,
  ),
  durability: choice(
    ['commit', 'async'],
    'commit',
    'When a REGISTER is answered: `commit` after PostgreSQL has committed it, `async` at once.',
  ),
  spool: spool.prefault({}),
  snapshotIntervalSec: whole(
    0,
    86_400,
    300,
    'How many seconds pass between two snapshots of users and bindings in stateDir, with which a member can start while PostgreSQL is away; 0 for none.',
  ),
  purgeAfterHours: whole(
    1,
    8_760,
    24,
    'Hours after which what was removed is forgotten altogether, in PostgreSQL too; never before the longest registration ends.',
  ),
})

const sip = z
  .strictObject({
    t1Ms: whole(10, 10_000, 500, 'RFC 3261 timer T1, the round-trip estimate, in milliseconds.'),
    t2Ms: whole(
      10,
      60_000,
      4_000,
      'RFC 3261 timer T2, the longest retransmission interval, in milliseconds.',
    ),
    t4Ms: whole(
      10,
      60_000,
      5_000,
      'RFC 3261 timer T4, how long a message stays in the network, in milliseconds.',
    ),
    timerCSec: whole(1, 3_600, 181, 'RFC 3261 timer C, how long a call may ring at a proxy, in seconds.'),
  })
  .refine((s) => s.t1Ms <= s.t2Ms, { path: ['t1Ms'], message: 'must not exceed sip.t2Ms' })

const net = z.strictObject({
  udp: choice(
    ['auto', 'batched', 'dgram'],
    'auto',
    "How UDP sockets are driven: `batched` by the native addon (Linux), `dgram` by Node's own module, several times slower; `auto` takes the addon where it can be loaded.",
  ),
})

const log = z.strictObject({
  level: choice(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'The least severe line that is written.',
  ),
  format: choice(
    ['auto', 'json', 'text'],
    'auto',
    'One JSON object a line, or text for people; `auto` writes text to a terminal and JSON elsewhere.',
  ),
})

const up = z
  .strictObject({
    dataDir: key(
      z.string().min(1).default('./data'),
      'Only `tandem up`: directory of its PostgreSQL and its state, kept between starts; relative to the working directory.',
      'a path',
    ),
    databasePort: key(
      port.default(5433),
      'Only `tandem up`: TCP port of its PostgreSQL, on 127.0.0.1.',
      'a port from 1 to 65535',
    ),
    host: key(
      z
        .string()
        .refine(
          (text) => parseHostPort(text.includes(':') ? `[${text}]:1` : `${text}:1`) && !WILDCARD.test(text),
        )
        .default('127.0.0.1'),
      'Only `tandem up`: the address all its nodes listen on.',
      'one IP address of this host, not 0.0.0.0',
    ),
    edgePorts: ports([5060, 5062], 'Only `tandem up`: outside ports of the stage-1 nodes s1 and s2.'),
    insidePorts: ports([5160, 5162], 'Only `tandem up`: inside ports of the stage-1 nodes s1 and s2.'),
    memberPorts: ports(
      [5071, 5072, 5073, 5074],
      'Only `tandem up`: ports of the stage-2 members a1, a2, b1 and b2.',
    ),
  })
  .refine(
    (u) => {
      const all = [...u.edgePorts, ...u.insidePorts, ...u.memberPorts]
      return new Set(all).size === all.length
    },
    {
      path: ['insidePorts'],
      message: 'no port may be in two of up.edgePorts, up.insidePorts and up.memberPorts',
    },
  )

export const configSchema = z.strictObject({
  node: key(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
      .default(defaultNode),
    'Name of this node, unique in the cluster. Default: the host name.',
    'text of up to 63 letters, digits, dots, dashes and underscores that starts with a letter or digit',
  ),
  database: database.prefault({}),
  stateDir: key(
    z.string().min(1).default('./state'),
    'Directory, of a local disk, in which the node keeps the last map and a member also its spool and its snapshot, readable by its user only: with them it starts and serves while PostgreSQL is away.',
    'a path',
  ),
  refreshIntervalMs: whole(
    100,
    60_000,
    1_000,
    'Milliseconds between two readings of what changed in PostgreSQL; a missed notification costs one of them.',
  ),
  stage1: stage1.prefault({}),
  stage2: stage2.prefault({}),
  sip: sip.prefault({}),
  net: net.prefault({}),
  log: log.prefault({}),
  up: up.prefault({}),
})

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

export type Config = DeepReadonly<z.infer<typeof configSchema>>

function defaultNode(): string {
  return (
    hostname()
      .replaceAll(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 63) || 'node'
  )
}

/** One key of the configuration, as the schema describes it. */
export interface ConfigKey {
  /** `['stage1', 'edge']` */
  readonly path: readonly string[]
  /** `TANDEM_STAGE1_EDGE` */
  readonly variable: string
  readonly kind: 'number' | 'text' | 'words' | 'urls' | 'addresses'
  readonly meaning: string
  readonly allowed: string
  readonly fallback: unknown
}

/** All keys in the order of the schema. */
export const configKeys: readonly ConfigKey[] = keysOf(configSchema, [])

function keysOf(schema: z.ZodObject, path: string[]): ConfigKey[] {
  return Object.entries(schema.shape).flatMap(([name, outer]) => {
    const { inner, fallback } = unwrap(outer as z.ZodType)
    const here = [...path, name]
    if (inner instanceof z.ZodObject) return keysOf(inner, here)
    const meta = (outer as z.ZodType).meta()
    return [
      {
        path: here,
        variable: variableOf(here),
        kind: (meta?.kind as ConfigKey['kind']) ?? kindOf(inner),
        meaning: String(meta?.description),
        allowed: String(meta?.allowed),
        fallback: name === 'node' ? undefined : fallback, // the host name differs from host to host
      },
    ]
  })
}

function unwrap(schema: z.ZodType): { inner: z.ZodType; fallback: unknown } {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return { inner: unwrap(schema.unwrap() as z.ZodType).inner, fallback: schema.def.defaultValue }
  }
  if (schema instanceof z.ZodPipe) return { inner: unwrap(schema.in as z.ZodType).inner, fallback: undefined }
  return { inner: schema, fallback: undefined }
}

function kindOf(schema: z.ZodType): ConfigKey['kind'] {
  if (schema instanceof z.ZodNumber) return 'number'
  if (schema instanceof z.ZodArray) return 'words'
  return schema instanceof z.ZodUnion ? 'urls' : 'text'
}

function variableOf(path: readonly string[]): string {
  const words = path.map((name) =>
    name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll(/([A-Z])([A-Z][a-z])/g, '$1_$2'),
  )
  return `TANDEM_${words.join('_').toUpperCase()}`
}

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { loadConfig, printable, requireDatabase } from '../../src/ops/config.ts'
import { toEnvironment } from '../../src/ops/config-env.ts'
import { configKeys, workerCount } from '../../src/ops/config-schema.ts'
import { TandemError } from '../../src/ops/errors.ts'

const ADDRESSES =
  'an IP address and a port, such as 192.0.2.1:5060 or "[2001:db8::1]:5060"; or a list of two, one of IPv4 and one of IPv6'

/** What loadConfig refuses, as its code and its lines without the name of the file. */
function refusal(
  yaml: string | undefined,
  env: NodeJS.ProcessEnv = {},
): { code: string; lines: string[]; hint: string } {
  const file = yaml === undefined ? undefined : join(t.testdirName, 'tandem.yaml')
  if (file !== undefined) writeFileSync(file, yaml ?? '')
  try {
    loadConfig({ file, env })
  } catch (error) {
    if (!(error instanceof TandemError)) throw error
    const lines = error.message.split('\n').map((line) => line.replace(`${file}:`, ''))
    return { code: error.code, lines, hint: error.hint ?? '' }
  }
  throw new Error('nothing was refused')
}

function accepted(yaml: string, env: NodeJS.ProcessEnv = {}) {
  const file = join(t.testdirName, 'tandem.yaml')
  writeFileSync(file, yaml)
  return loadConfig({ file, env })
}

t.testdir({})

t.test('defaults are complete', async (t) => {
  const config = loadConfig({ env: {} })
  t.match(config, {
    database: { url: [], connectTimeoutMs: 3000, statementTimeoutMs: 5000, poolSize: 4 },
    refreshIntervalMs: 1000,
    stage1: {
      edge: [{ address: '127.0.0.1', port: 5060 }],
      inside: { address: '127.0.0.1', port: 5160 },
      workers: 0,
    },
    stage2: {
      expires: { minSec: 60, defaultSec: 3600, maxSec: 7200 },
      maxContacts: 10,
      durability: 'commit',
    },
    sip: { t1Ms: 500, t2Ms: 4000, t4Ms: 5000, timerCSec: 181 },
    log: { level: 'info', format: 'auto' },
    up: { databasePort: 5433, host: '127.0.0.1' },
  })
  t.ok(config.node, 'the host name')
})

t.test('an empty file is a file', async (t) => {
  t.equal(accepted('').refreshIntervalMs, 1000)
  t.equal(accepted('# nothing\n').refreshIntervalMs, 1000)
})

t.test('a file sets keys, and the others keep their defaults', async (t) => {
  const config = accepted(
    'node: a1\nstage1:\n  edge: "[2001:db8::1]:5060"\nstage2: { listen: 192.0.2.7:5071, expires: { maxSec: 3600 } }\n',
  )
  t.equal(config.node, 'a1')
  t.same(config.stage1.edge, [{ address: '2001:db8::1', port: 5060 }])
  t.same(config.stage1.inside, { address: '127.0.0.1', port: 5160 })
  t.same(config.stage2.listen, { address: '192.0.2.7', port: 5071 })
  t.same(config.stage2.expires, { minSec: 60, defaultSec: 3600, maxSec: 3600 })
})

t.test('database.url is one URL or a list', async (t) => {
  t.same(accepted('database: { url: postgres://a@h/x }').database.url, ['postgres://a@h/x'])
  t.same(accepted('database:\n  url:\n  - postgres://a@h/x\n  - postgresql://b@i/x').database.url, [
    'postgres://a@h/x',
    'postgresql://b@i/x',
  ])
  const env = { TANDEM_DATABASE_URL: 'postgres://a:p,q@h/x, postgresql://b@i/x postgres://c@j/x' }
  t.same(loadConfig({ env }).database.url, ['postgres://a:p,q@h/x', 'postgresql://b@i/x', 'postgres://c@j/x'])
  t.same(requireDatabase(loadConfig({ env })).length, 3)
  t.throws(() => requireDatabase(loadConfig({ env: {} })), {
    code: 'CONFIG_INVALID',
    message: /database\.url/,
  })
})

t.test('the environment overrides every key', async (t) => {
  const names = configKeys.map((key) => key.variable)
  for (const name of [
    'TANDEM_NODE',
    'TANDEM_DATABASE_URL',
    'TANDEM_DATABASE_CONNECT_TIMEOUT_MS',
    'TANDEM_REFRESH_INTERVAL_MS',
    'TANDEM_STAGE1_EDGE',
    'TANDEM_STAGE2_EXPIRES_MIN_SEC',
    'TANDEM_SIP_T1_MS',
    'TANDEM_SIP_TIMER_C_SEC',
    'TANDEM_UP_DATA_DIR',
  ]) {
    t.ok(names.includes(name), name)
  }
  t.equal(new Set(names).size, names.length, 'no two keys share a variable')
  const config = accepted('sip: { t1Ms: 100 }\nnode: x', {
    TANDEM_NODE: '17',
    TANDEM_SIP_T1_MS: '200',
    TANDEM_STAGE1_EDGE: '[::1]:5070',
    TANDEM_UP_EDGE_PORTS: '6060, 6062',
    TANDEM_LOG_LEVEL: '',
    TANDEM_STAGE2_DIGEST_ALGORITHMS: 'SHA-256, MD5',
  })
  t.equal(config.node, '17')
  t.equal(config.sip.t1Ms, 200)
  t.same(config.stage1.edge, [{ address: '::1', port: 5070 }])
  t.same(config.up.edgePorts, [6060, 6062])
  t.same(config.stage2.digestAlgorithms, ['SHA-256', 'MD5'])
  t.equal(config.log.level, 'info', 'an empty variable counts as not set')
})

t.test('the outside face may have an address of each version of IP', async (t) => {
  const both = [
    { address: '192.0.2.1', port: 5060 },
    { address: '2001:db8::1', port: 5062 },
  ]
  const config = accepted('stage1: { edge: ["192.0.2.1:5060", "[2001:db8::1]:5062"] }')
  t.same(config.stage1.edge, both)
  t.same(loadConfig({ env: toEnvironment(config) }).stage1.edge, both)
  t.same(accepted(printable(config)).stage1.edge, both)
  const variable = { TANDEM_STAGE1_EDGE: '192.0.2.1:5060, [2001:db8::1]:5062' }
  t.same(accepted('', variable).stage1.edge, both)
})

t.test('workers: as many as configured, or one for each core', async (t) => {
  t.equal(workerCount({ workers: 3 }), 3)
  t.ok(workerCount({ workers: 0 }) >= 1)
})

t.test('a configuration goes through the environment of another process unharmed', async (t) => {
  const config = accepted(
    'node: a1\ndatabase: { url: ["postgres://a:p,q@h/x", "postgres://b@i/x"] }\nstage1: { edge: "[::1]:5060", guard: { exempt: [], scanners: [x-1, "(yz"] } }\nup: { dataDir: "a b" }',
  )
  t.same(config.stage1.guard.exempt, [])
  t.same(loadConfig({ env: toEnvironment(config) }), config)
  t.same(loadConfig({ env: toEnvironment(loadConfig({ env: {} })) }), loadConfig({ env: {} }))
})

t.test('networks and names of scanners', async (t) => {
  const guard = (yaml: string) => `stage1: { guard: { ${yaml} } }`
  const { exempt } = accepted(guard('exempt: [192.0.2.0/24, 10.0.0.1, "2001:db8::/32", "::1", 0.0.0.0/0]'))
    .stage1.guard
  t.equal(exempt.length, 5)
  for (const bad of [
    '192.0.2.0/33',
    '192.0.2.0/',
    '192.0.2/24',
    '"2001:db8::/129"',
    'example.com',
    '1.2.3.4/8/8',
  ])
    t.equal(refusal(guard(`exempt: [${bad}]`)).code, 'CONFIG_INVALID', bad)
  for (const bad of ['xy', '"two words"', '"a,bc"', '""'])
    t.equal(refusal(guard(`scanners: [${bad}]`)).code, 'CONFIG_INVALID', bad)
  const env = { TANDEM_STAGE1_GUARD_EXEMPT: 'none', TANDEM_STAGE1_GUARD_SCANNERS: 'abc, def' }
  t.match(loadConfig({ env }).stage1.guard, { exempt: [], scanners: ['abc', 'def'] })
})

t.test('unknown keys, with what was probably meant', async (t) => {
  t.same(refusal('stage1:\n  egde: 127.0.0.1:5060').lines, [
    '2: stage1.egde: unknown key; did you mean edge?',
  ])
  t.same(refusal('edge: 127.0.0.1:5060').lines, ['1: edge: unknown key; did you mean stage1.edge?'])
  t.same(refusal('log: { colour: red }').lines, ['1: log.colour: unknown key; allowed here: level, format'])
  t.equal(refusal('x: 1').code, 'CONFIG_INVALID')
})

t.test('unknown variables, with what was probably meant', async (t) => {
  t.same(refusal(undefined, { TANDEM_STAGE1_EGDE: '1' }).lines, [
    'TANDEM_STAGE1_EGDE: unknown variable; did you mean TANDEM_STAGE1_EDGE?',
  ])
  t.match(refusal(undefined, { TANDEM_COFFEE: '1' }).lines, [/tandem config keys/])
  t.ok(loadConfig({ env: { TANDEM_CONFIG: 'x', TANDEM_VERBOSE: '1', HOME: '/' } }))
})

t.test('what Kubernetes sets for a service called tandem is no setting of ours', async (t) => {
  const env = {
    TANDEM_SERVICE_HOST: '10.0.0.1',
    TANDEM_SERVICE_PORT_SIP: '5060',
    TANDEM_PORT: 'udp://10.0.0.1:5060',
    TANDEM_STAGE1_PORT_5060_UDP_ADDR: '10.0.0.1',
  }
  t.ok(loadConfig({ env }))
})

t.test('bad values, with what is allowed', async (t) => {
  const refused: [yaml: string, line: string][] = [
    [
      'refreshIntervalMs: soon',
      '1: refreshIntervalMs: "soon" is not allowed; expected a whole number from 100 to 60000',
    ],
    [
      'refreshIntervalMs: 1.5e3\nsip: {t1Ms: 0.5}',
      '2: sip.t1Ms: 0.5 is not allowed; expected a whole number from 10 to 10000',
    ],
    [
      'database: { poolSize: 0 }',
      '1: database.poolSize: 0 is not allowed; expected a whole number from 1 to 100',
    ],
    [
      'database: { poolSize: ~ }',
      '1: database.poolSize: null is not allowed; expected a whole number from 1 to 100',
    ],
    [
      'stage2: { durability: maybe }',
      '1: stage2.durability: "maybe" is not allowed; expected one of commit, async',
    ],
    [
      'stage2: yes please',
      '1: stage2: expected keys below it, such as listen, directClients, expires, maxContacts, digestAlgorithms, durability, spool, snapshotIntervalSec, purgeAfterHours',
    ],
    [
      'stage2: { expires: { minSec: 4000 } }',
      '1: stage2.expires.defaultSec: minSec, defaultSec and maxSec must not decrease in this order',
    ],
    [
      'stage1: { edge: "127.0.0.1:6", inside: "127.0.0.1:6" }',
      '1: stage1.inside: must differ from stage1.edge, for each worker',
    ],
    [
      'stage1: { edge: ["[::1]:6", "127.0.0.1:8"], inside: "127.0.0.1:6", workers: 3 }',
      '1: stage1.inside: must differ from stage1.edge, for each worker',
    ],
    [
      'stage1: { edge: ["127.0.0.1:6", "127.0.0.2:6"] }',
      `1: stage1.edge: ["127.0.0.1:6","127.0.0.2:6"] is not allowed; expected ${ADDRESSES}`,
    ],
    ['stage1: { edge: [] }', `1: stage1.edge: [] is not allowed; expected ${ADDRESSES}`],
    [
      'stage1: { inside: "127.0.0.1:65535", workers: 2 }',
      '1: stage1.workers: each worker needs a port of its own, from that of stage1.inside on, and those end at 65535',
    ],
    [
      'stage2: { digestAlgorithms: [MD5, MD5] }',
      '1: stage2.digestAlgorithms: ["MD5","MD5"] is not allowed; expected a list of MD5, SHA-256, SHA-512-256, each at most once',
    ],
    [
      'stage2: { digestAlgorithms: [SHA1] }',
      '1: stage2.digestAlgorithms.0: "SHA1" is not allowed; expected a list of MD5, SHA-256, SHA-512-256, each at most once',
    ],
    ['sip: { t1Ms: 5000 }', '1: sip.t1Ms: must not exceed sip.t2Ms'],
    [
      'up: { insidePorts: [5060, 5161] }',
      '1: up.insidePorts: no port may be in two of up.edgePorts, up.insidePorts and up.memberPorts',
    ],
    [
      'up: { edgePorts: [5060] }',
      '1: up.edgePorts: [5060] is not allowed; expected a list of 2 different ports',
    ],
    [
      'up: { edgePorts: [5060, 5060] }',
      '1: up.edgePorts: [5060,5060] is not allowed; expected a list of 2 different ports',
    ],
    [
      'up:\n  edgePorts:\n  - 5060\n  - 99999',
      '4: up.edgePorts.1: 99999 is not allowed; expected a list of 2 different ports',
    ],
    [
      'up: { host: 0.0.0.0 }',
      '1: up.host: "0.0.0.0" is not allowed; expected one IP address of this host, not 0.0.0.0',
    ],
    [
      'node: "a b"',
      '1: node: "a b" is not allowed; expected text of up to 63 letters, digits, dots, dashes and underscores that starts with a letter or digit',
    ],
  ]
  for (const [yaml, line] of refused) t.same(refusal(yaml).lines, [line])
  t.match(refusal('- a\n- b').lines, [/expected keys below it, such as node, database/])
  t.match(refusal('7').lines, [/expected keys below it/])
})

t.test('addresses that cannot be used', async (t) => {
  for (const address of [
    '5060',
    'localhost:5060',
    '127.0.0.1',
    '::1:5060',
    '"[127.0.0.1]:5060"',
    '1.2.3.4:70000',
  ]) {
    t.match(
      refusal(`stage1: { edge: ${address} }`).lines,
      [/stage1\.edge: .* an IP address and a port/],
      address,
    )
  }
  for (const wildcard of ['0.0.0.0:5060', '[::]:5060', '[0:0::0]:5060']) {
    t.match(
      refusal(`stage2: { listen: "${wildcard}" }`).lines,
      [/one address that others can send to/],
      wildcard,
    )
  }
})

t.test('a refused database URL does not show its password', async (t) => {
  for (const url of ['mysql://u:geheim@h/x', 'postgres://u:ge/heim@h/x', 'geheim']) {
    const { lines } = refusal(`database: { url: "${url}" }`)
    t.match(lines, [/database\.url: is not allowed; expected a URL such as postgres:/])
    t.notMatch(lines.join(), /heim/)
  }
})

t.test('all problems at once, and a variable is named where it is the cause', async (t) => {
  const { lines } = refusal('stage1: { edge: x, foo: 1 }\nsip: { t2Ms: 5 }', {
    TANDEM_SIP_T4_MS: 'x',
    TANDEM_X: '1',
  })
  t.same(lines.map((line) => line.slice(0, line.indexOf(': ', 3))).sort(), [
    '1: stage1.edge',
    '1: stage1.foo',
    '2: sip.t2Ms',
    'TANDEM_SIP_T4_MS',
    'TANDEM_X',
  ])
})

t.test('YAML that is none: file, line, column and what to do', async (t) => {
  for (const [yaml, place] of [
    ['stage1:\n  edge: [::1]:5060\n', '2:14: '],
    ['a: 1\na: 2', '2:1: '],
    ['\tnode: a', '1:1: '],
    ['node: "a', '1:9: '],
    ['stage1: {', '1:10: '],
  ] as const) {
    const { code, lines, hint } = refusal(yaml)
    t.equal(code, 'CONFIG_SYNTAX')
    t.equal(lines.length, 1)
    t.ok(lines[0]?.startsWith(place), `${lines[0]}`)
    t.match(hint, /needs quotes/)
  }
  t.equal(refusal('node: *nobody').code, 'CONFIG_SYNTAX')
})

t.test('a file that cannot be read', async (t) => {
  t.throws(() => loadConfig({ file: join(t.testdirName, 'none.yaml'), env: {} }), {
    code: 'CONFIG_UNREADABLE',
    message: /none\.yaml: no such file/,
    hint: /--config FILE/,
  })
  t.throws(() => loadConfig({ file: t.testdir({}), env: {} }), {
    code: 'CONFIG_UNREADABLE',
    message: /EISDIR/,
  })
})

t.test('the printed configuration hides passwords and can be loaded again', async (t) => {
  const config = accepted(
    'database: { url: "postgres://u:ge%40heim@h:5/x?sslpassword=heim" }\nstage1: { edge: "[::1]:5060" }',
  )
  const text = printable(config)
  t.notMatch(text, /heim/)
  t.match(parse(text), {
    database: { url: ['postgres://u:***@h:5/x?sslpassword=***'] },
    stage1: { edge: '[::1]:5060' },
  })
  t.match(accepted(text), { stage1: config.stage1, up: config.up })
})

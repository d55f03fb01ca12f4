import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'

/* The real command line in a process of its own: what an operator sees, and what a script gets. */

const COMMAND = fileURLToPath(new URL('../../scripts/tandem.ts', import.meta.url))
const HOST = '127.0.42.1'

async function tandem(args: string[], env: NodeJS.ProcessEnv = {}) {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TANDEM_'))
  const child = spawn(process.execPath, ['--import=tsx', COMMAND, ...args], {
    env: { ...Object.fromEntries(others), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code, stdout, stderr }
}

/** One line that says what is wrong and what to do, and nothing of our insides. */
function oneLine(t: Tap, { code, stderr }: { code: number; stderr: string }, status: number, line: RegExp) {
  t.equal(code, status)
  t.match(stderr, line)
  t.match(stderr, /^tandem: [A-Z_]+: [^\n]+\n$/, 'one line')
  t.notMatch(stderr, /\n\s+at |node_modules|\.ts:\d/, 'no stack trace')
}
type Tap = Pick<typeof t, 'equal' | 'match' | 'notMatch'>

t.jobs = 2

t.test('help and version', async (t) => {
  const help = await tandem(['--help'])
  t.equal(help.code, 0)
  t.equal(help.stderr, '')
  for (const word of [
    'up',
    'stage1',
    'stage2',
    'db',
    'config',
    'Examples:',
    '--config <file>',
    'Exit status',
  ]) {
    t.ok(help.stdout.includes(word), word)
  }
  t.match((await tandem(['up', '--help'])).stdout, /two stage-1 nodes/)
  t.match(await tandem(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
})

t.test('a wrong command line', async (t) => {
  oneLine(t, await tandem(['stage3']), 2, /USAGE: unknown command 'stage3'.*; see `tandem --help`/)
  oneLine(t, await tandem(['up', '--fast']), 2, /USAGE: unknown option '--fast'/)
  oneLine(t, await tandem(['up', '--config']), 2, /USAGE: .*argument missing/)
  const nothing = await tandem([])
  t.equal(nothing.code, 2)
  t.match(nothing.stderr, /tandem: USAGE: no command given; see `tandem --help`\n$/)
})

t.test('a wrong configuration', async (t) => {
  const dir = t.testdir({
    'syntax.yaml': 'stage1:\n  edge: [::1]:5060\n',
    'key.yaml': 'stage1:\n  egde: 127.0.0.1:5060\n',
    'two.yaml': 'foo: 1\nsip: { t1Ms: fast }\n',
  })
  const print = (file: string, env = {}) => tandem(['config', 'print', '--config', join(dir, file)], env)
  oneLine(t, await print('syntax.yaml'), 2, /CONFIG_SYNTAX: .*syntax\.yaml:2:14: .*; correct that line/)
  oneLine(
    t,
    await print('key.yaml'),
    2,
    /CONFIG_INVALID: .*key\.yaml:2: stage1\.egde: unknown key; did you mean edge\?/,
  )
  oneLine(t, await print('none.yaml'), 2, /CONFIG_UNREADABLE: .*none\.yaml: no such file; .*--config FILE/)
  oneLine(
    t,
    await tandem(['up'], { TANDEM_UP_PORT: '1' }),
    2,
    /CONFIG_INVALID: TANDEM_UP_PORT: unknown variable/,
  )
  oneLine(t, await tandem(['up'], { TANDEM_CONFIG: join(dir, 'key.yaml') }), 2, /key\.yaml:2/)
  oneLine(t, await tandem(['stage1']), 2, /database\.url: this command needs a PostgreSQL; set database\.url/)
  oneLine(t, await tandem(['stage2']), 2, /database\.url/)
  oneLine(t, await tandem(['db', 'migrate']), 2, /database\.url/)
  const two = await print('two.yaml')
  t.equal(two.code, 2)
  t.equal(two.stderr.trim().split('\n').length, 2, 'each problem in a line of its own')
})

t.test('the stack trace is there for who asks', async (t) => {
  const asked = await tandem(['--verbose', 'stage1'])
  t.match(asked.stderr, /\n\s+at requireDatabase/)
  t.match((await tandem(['stage1'], { TANDEM_VERBOSE: '1' })).stderr, /\n\s+at /)
})

t.test('the configuration in effect, with passwords hidden', async (t) => {
  const dir = t.testdir({ 'tandem.yaml': 'node: a1\ndatabase: { url: postgres://u:geheim@h/x }' })
  const { code, stdout } = await tandem(['config', 'print', '-c', join(dir, 'tandem.yaml')], {
    TANDEM_SIP_T1_MS: '250',
  })
  t.equal(code, 0)
  t.notMatch(stdout, /geheim/)
  t.match(parse(stdout), { node: 'a1', database: { url: ['postgres://u:***@h/x'] }, sip: { t1Ms: 250 } })
  const keys = await tandem(['config', 'keys'])
  t.match(keys.stdout, /^stage1\.edge +TANDEM_STAGE1_EDGE +\S/m)
})

t.test('a port that is taken', async (t) => {
  const holder = createSocket('udp4').bind(5062, HOST)
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const dir = t.testdir({})
  const env = {
    TANDEM_UP_HOST: HOST,
    TANDEM_UP_DATABASE_PORT: '15431',
    TANDEM_UP_DATA_DIR: join(dir, 'data'),
  }
  oneLine(
    t,
    await tandem(['up'], env),
    1,
    /PORT_TAKEN: UDP 127\.0\.42\.1:5062 is taken by another process.*; stop it, or set up\.edgePorts or up\.host/,
  )
})

t.test('an address of another host', async (t) => {
  const run = await tandem(['up'], { TANDEM_UP_HOST: '192.0.2.1', TANDEM_UP_EDGE_PORTS: '5060 5062' })
  t.equal(run.code, 1)
  t.match(
    run.stderr,
    /^(tandem: ADDRESS_UNAVAILABLE: (?:UDP|TCP) 192\.0\.2\.1:\d+ is not an address of this host; [^\n]+\n)+$/,
  )
})

t.test('data of another version', async (t) => {
  const dir = t.testdir({ VERSION: 'tandem 1\npostgresql 13\n' })
  const env = { TANDEM_UP_HOST: '127.0.42.2', TANDEM_UP_DATABASE_PORT: '15432', TANDEM_UP_DATA_DIR: dir }
  oneLine(t, await tandem(['up'], env), 1, /DATA_DIR_FOREIGN: .* PostgreSQL 13; .*; move it away/)
})

t.test('a database that nobody answers for', async (t) => {
  const free = createServer().listen(0, HOST)
  await once(free, 'listening')
  const { port } = free.address() as { port: number }
  free.close()
  const env = { TANDEM_DATABASE_URL: `postgres://u:geheim@${HOST}:${port}/x`, TANDEM_UP_HOST: '127.0.42.3' }
  for (const command of [['db', 'migrate'], ['up']]) {
    const run = await tandem(command, env)
    oneLine(t, run, 1, /DATABASE_UNREACHABLE: .*127\.0\.42\.1:\d+.*; start PostgreSQL/)
    t.notMatch(run.stderr + run.stdout, /geheim/)
  }
})

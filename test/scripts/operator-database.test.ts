import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { operatorDatabase, runningUpDatabase } from '../../scripts/operator-database.ts'
import { loadConfig } from '../../src/ops/config.ts'
import { freePort, testServer } from '../support/database.ts'

/* Which database the commands for operators mean, and the real command line: what of them only a process of its own shows. */

const COMMAND = fileURLToPath(new URL('../../scripts/tandem.ts', import.meta.url))
const server = await testServer(t)
const ADDRESSES = { a1: '127.0.0.1:1', a2: '127.0.0.1:2', b1: '127.0.0.1:3', b2: '127.0.0.1:4' }

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

async function demo() {
  const url = await server.createDatabase()
  await seedDemo(await server.open(url), ADDRESSES)
  return { TANDEM_DATABASE_URL: url }
}

/** A data directory as a `tandem up` that runs there leaves it. */
function upDir(folder: string, port: number) {
  return {
    'postgres.password': 'geheim\n',
    postgres: { 'postmaster.pid': `4711\n${folder}/postgres\n1700000000\n${port}\n\n127.0.0.1\n` },
  }
}

t.test('the configured database goes before that of a `tandem up`', async (t) => {
  const dir = t.testdir(upDir('x', 15551))
  const env = { TANDEM_DATABASE_URL: 'postgres://u@h/x', TANDEM_UP_DATA_DIR: dir }
  t.same(operatorDatabase(loadConfig({ env })), { url: ['postgres://u@h/x'] })
})

t.test('the database of a `tandem up`, as long as its PostgreSQL runs there', async (t) => {
  const dir = t.testdir(upDir('x', 15551))
  const running = (pid: number) => (pid === 4711 ? `/x/postgres -D ${join(dir, 'postgres')} -p 15551` : '')
  t.equal(runningUpDatabase(dir, running), 'postgres://tandem:geheim@127.0.0.1:15551/tandem')
  t.equal(
    runningUpDatabase(dir, () => '/usr/bin/other'),
    undefined,
    'the number of some other process',
  )
  t.equal(
    runningUpDatabase(dir, () => ''),
    undefined,
    'it has ended',
  )
  t.equal(runningUpDatabase(join(dir, 'none'), running), undefined)
  t.throws(() => operatorDatabase(loadConfig({ env: { TANDEM_UP_DATA_DIR: dir } })), {
    code: 'CONFIG_INVALID',
    message: /needs a PostgreSQL, and no `tandem up` runs on /,
    hint: /TANDEM_DATABASE_URL.*the URL that it printed/,
  })
})

t.test('the map on a real command line: text, JSON, a refusal', async (t) => {
  const env = await demo()
  const [shown, json, refused, wrong] = await Promise.all([
    tandem(['map', 'show'], env),
    tandem(['map', 'history', '--json'], env),
    tandem(['map', 'set', '0-99', 'x'], env),
    tandem(['map', 'set', '0-99999', 'a'], env),
  ])
  t.match(shown, { code: 0, stdout: /^Map version 1: /, stderr: '' })
  t.match(JSON.parse(json.stdout), [{ version: 1, comment: 'demo' }])
  t.match(refused, {
    code: 1,
    stdout: '',
    stderr: /^tandem: MAP_REFUSED: [^\n]*group x, which does not exist; Groups: a, b[^\n]*\n$/,
  })
  t.match(wrong, { code: 2, stdout: '', stderr: /^tandem: USAGE: [^\n]*'0-99999' is no range[^\n]*\n$/ })
})

t.test('an import with refused lines is done, and ends in exit status 1', async (t) => {
  const env = await demo()
  const dir = t.testdir({ 'users.csv': 'user,domain,password\neve,example.com,pw\nx\n' })
  const run = await tandem(['user', 'import', join(dir, 'users.csv')], env)
  t.match(run, { code: 1, stdout: /^1 imported, 1 refused/, stderr: 'line 3: 1 fields where 3 are named\n' })
})

t.test('no database: one line that says what to do', async (t) => {
  const dir = t.testdir({})
  const port = await freePort()
  const [none, away, help] = await Promise.all([
    tandem(['explain', 'alice@example.com'], { TANDEM_UP_DATA_DIR: dir }),
    tandem(['map', 'show'], { TANDEM_DATABASE_URL: `postgres://u:geheim@127.0.0.1:${port}/x` }),
    tandem(['map', '--help']),
  ])
  t.match(none, { code: 2, stderr: /^tandem: CONFIG_INVALID: [^\n]*no `tandem up` runs on [^\n]*\n$/ })
  t.match(away, { code: 1, stderr: /^tandem: DATABASE_UNREACHABLE: [^\n]*; start PostgreSQL[^\n]*\n$/ })
  t.notMatch(away.stderr, /geheim/)
  t.match(help.stdout, /set.*split.*pin.*rollback.*plan.*Examples:/s)
})

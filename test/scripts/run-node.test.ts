import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const FIXTURE = fileURLToPath(new URL('run-node-fixture.ts', import.meta.url))

/** Starts the fixture; `ended` is what it left: exit code, log lines, stderr. */
function run(kind: string) {
  const child = fork(FIXTURE, [kind], {
    execArgv: ['--import=tsx'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const output = Promise.all([text(child.stdout as never), text(child.stderr as never)])
  const exited = once(child, 'exit')
  const ended = async () => {
    const [code] = await exited
    const [stdout, stderr] = await output
    const lines = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    return { code, lines, stderr }
  }
  return { child, ended }
}

const message = async (child: ChildProcess) => (await once(child, 'message'))[0]

t.test('says that it is ready, and stops on SIGTERM', async (t) => {
  const { child, ended } = run('runs')
  t.same(await message(child), { type: 'ready', describe: 'fixture' })
  child.kill('SIGTERM')
  const { code, lines, stderr } = await ended()
  t.equal(code, 0)
  t.same(
    lines.map(({ msg }) => msg),
    ['ready: fixture', 'stopping: SIGTERM', 'stopped'],
  )
  t.equal(stderr, '')
})

t.test('stops when its parent is gone', async (t) => {
  const { child, ended } = run('runs')
  await message(child)
  child.disconnect()
  const { code, lines } = await ended()
  t.equal(code, 0)
  t.match(lines.at(-1), { msg: 'stopped' })
})

t.test('stops while it starts', async (t) => {
  const { child, ended } = run('starts forever')
  await message(child)
  child.kill('SIGINT')
  t.equal((await ended()).code, 0)
})

t.test('ends after a while even if it cannot close', async (t) => {
  const { child, ended } = run('never closes')
  await message(child)
  child.kill('SIGTERM')
  const { code, lines } = await ended()
  t.equal(code, 1)
  t.match(lines.at(-1), { level: 'error', msg: 'not stopped after 50 ms: giving up' })
})

t.test('a failure that is the operator’s to remove goes to the parent, and nowhere else', async (t) => {
  const { child, ended } = run('fails')
  t.same(await message(child), {
    type: 'failed',
    code: 'PORT_TAKEN',
    message: 'UDP 127.0.0.1:5060 is taken',
    hint: 'free it',
  })
  t.same(await ended(), { code: 1, lines: [], stderr: '' })
})

for (const kind of ['has a bug', 'breaks later']) {
  t.test(`a bug is logged once: ${kind}`, async (t) => {
    const { code, lines, stderr } = await run(kind).ended()
    t.equal(code, 70)
    const fatal = lines.filter(({ level }) => level === 'fatal')
    t.match(fatal, [{ err: { type: 'TypeError', stack: /run-node-fixture/ } }])
    t.equal(fatal.length, 1)
    t.equal(stderr, '')
  })
}

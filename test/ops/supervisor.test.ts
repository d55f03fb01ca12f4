import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/ops/clock.ts'
import { createLogger } from '../../src/ops/logging.ts'
import { Supervisor } from '../../src/ops/supervisor.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A process that does what the test says, and remembers which signals it got. */
class FakeProcess extends EventEmitter {
  readonly pid: number
  readonly signals: string[] = []

  constructor(pid: number) {
    super()
    this.pid = pid
  }

  kill(signal: NodeJS.Signals): boolean {
    this.signals.push(signal)
    if (signal === 'SIGKILL') this.emit('exit', null, signal)
    return true
  }

  ready(): void {
    this.emit('message', { type: 'ready', describe: 'here' })
  }
}

function setup(random = () => 1) {
  const clock = new FakeClock()
  const lines: string[] = []
  const to = { write: (line: string) => void lines.push(JSON.parse(line).msg) }
  const log = createLogger({ level: 'info', format: 'json' }, { node: 'up', to })
  const supervisor = new Supervisor({ clock, log, random })
  const spawned: FakeProcess[] = []
  const spawn = () => {
    const child = new FakeProcess(100 + spawned.length)
    spawned.push(child)
    return child
  }
  const last = () => spawned.at(-1) as FakeProcess
  const start = async () => {
    const started = supervisor.start({ name: 'a1', spawn })
    last().ready()
    return started
  }
  return { clock, lines, supervisor, spawned, spawn, last, start }
}

t.test('a start ends when the process says that it is ready', async (t) => {
  const { clock, start, supervisor, spawn } = setup()
  t.equal(await start(), 'here')
  t.equal(supervisor.pidOf('a1'), 100)
  t.equal(clock.pending, 0, 'no timer runs for a running process')
  t.throws(() => supervisor.start({ name: 'a1', spawn }), /already supervised/)
})

t.test('a first start that fails is not tried again', async (t) => {
  const { clock, supervisor, spawn, last, spawned, lines } = setup()
  const started = supervisor.start({ name: 'a1', spawn })
  last().emit('message', {
    type: 'failed',
    code: 'PORT_TAKEN',
    message: 'UDP 127.0.0.1:5071 is taken',
    hint: 'free it',
  })
  last().emit('exit', 1, null)
  await t.rejects(started, {
    code: 'PORT_TAKEN',
    message: 'a1: UDP 127.0.0.1:5071 is taken',
    hint: 'free it',
  })

  const silent = supervisor.start({ name: 'b1', spawn })
  last().emit('exit', null, 'SIGSEGV')
  await t.rejects(silent, { code: 'NODE_FAILED', message: 'b1 ended before it was ready: SIGSEGV' })

  const missing = supervisor.start({ name: 'c1', spawn: () => Object.assign(spawn(), { pid: undefined }) })
  last().emit('error', new Error('spawn ENOENT'))
  await t.rejects(missing, { code: 'NODE_FAILED', message: /ENOENT/ })

  clock.advance(60_000)
  t.equal(spawned.length, 3)
  t.same(lines, [])
  t.equal(clock.pending, 0)
})

t.test('a first start that hangs is ended', async (t) => {
  const { clock, supervisor, spawn, last } = setup()
  const started = supervisor.start({ name: 'a1', spawn })
  clock.advance(60_000)
  t.same(last().signals, ['SIGKILL'])
  await t.rejects(started, { code: 'NODE_FAILED', message: /SIGKILL/ })
})

t.test('a process that dies comes back, and both are said', async (t) => {
  const { clock, start, spawned, last, lines } = setup()
  await start()
  last().emit('exit', null, 'SIGKILL')
  t.same(lines, ['a1 (pid 100) died: SIGKILL; restart in 100 ms'])
  clock.advance(99)
  t.equal(spawned.length, 1)
  clock.advance(1)
  t.equal(spawned.length, 2)
  last().ready()
  t.equal(lines.at(-1), 'a1 is back (pid 101): here')
  last().emit('exit', 70, null)
  t.equal(lines.at(-1), 'a1 (pid 101) died: exit code 70; restart in 200 ms')
})

t.test('the back-off doubles up to five seconds, and starts over after ten seconds of life', async (t) => {
  const { clock, start, last, lines } = setup()
  await start()
  const delays: string[] = []
  for (let i = 0; i < 8; i++) {
    last().emit('exit', 1, null)
    delays.push(/in (\d+) ms/.exec(lines.at(-1) ?? '')?.[1] ?? '')
    clock.advance(5_000)
  }
  t.same(delays, ['100', '200', '400', '800', '1600', '3200', '5000', '5000'])
  t.match(lines.at(-1), /did not start: exit code 1/)
  last().ready()
  clock.advance(10_000)
  last().emit('exit', 1, null)
  t.match(lines.at(-1), /died: exit code 1; restart in 100 ms/)
})

t.test('half of the back-off is jitter', async (t) => {
  const { start, last, lines } = setup(() => 0)
  await start()
  last().emit('exit', 1, null)
  t.match(lines.at(-1), /restart in 50 ms/)
})

t.test('a restart that fails says why', async (t) => {
  const { clock, start, last, lines } = setup()
  await start()
  last().emit('exit', null, 'SIGKILL')
  clock.advance(100)
  last().emit('message', { type: 'failed', code: 'PORT_TAKEN', message: 'UDP 127.0.0.1:5071 is taken' })
  last().emit('exit', 1, null)
  t.equal(
    lines.at(-1),
    'a1 (pid 101) did not start: PORT_TAKEN: UDP 127.0.0.1:5071 is taken; restart in 200 ms',
  )
})

t.test('stop asks, waits and then kills', async (t) => {
  const { clock, start, supervisor, last, lines, spawned } = setup()
  await start()
  const stopped = supervisor.stop(['a1', 'nobody'], 1_000)
  t.same(last().signals, ['SIGTERM'])
  clock.advance(999)
  t.same(last().signals, ['SIGTERM'])
  clock.advance(1)
  t.same(last().signals, ['SIGTERM', 'SIGKILL'])
  await stopped
  t.same(lines, ['a1 does not stop: killed'])
  t.equal(spawned.length, 1)
  t.equal(clock.pending, 0)
})

t.test('stop in each state', async (t) => {
  const { clock, supervisor, spawn, last, start, spawned } = setup()
  await start()
  last().emit('exit', 1, null)
  await supervisor.stop(['a1'], 1_000)
  t.equal(clock.pending, 0, 'a waiting one is not restarted')

  const starting = supervisor.start({ name: 'b1', spawn })
  const stopped = supervisor.stop(['b1'], 1_000)
  last().ready() // too late
  last().emit('exit', 0, null)
  await stopped
  await t.rejects(starting, { code: 'NODE_FAILED', message: 'b1 was stopped while it started' })
  await supervisor.stop(['a1', 'b1'], 1_000)
  clock.advance(60_000)
  t.equal(spawned.length, 2)
})

t.test('kill ends everything at once', async (t) => {
  const { clock, supervisor, spawn, last, start, spawned } = setup()
  await start()
  const running = last()
  const started = supervisor.start({ name: 'b1', spawn })
  last().ready()
  await started
  last().emit('exit', 1, null)
  supervisor.kill()
  t.same(running.signals, ['SIGKILL'])
  clock.advance(60_000)
  t.equal(spawned.length, 2)
  t.equal(clock.pending, 0)
})

t.test('messages that are none of ours are ignored', async (t) => {
  const { supervisor, spawn, last, clock } = setup()
  const started = supervisor.start({ name: 'a1', spawn })
  for (const other of [null, 'ready', { type: 'ready' }, { type: 'failed', code: 'NO_SUCH', message: '' }]) {
    last().emit('message', other)
  }
  last().ready()
  last().ready()
  t.equal(await started, 'here')
  t.equal(clock.pending, 0)
})

t.test('with real processes', async (t) => {
  const script = join(t.testdir({}), 'child.mjs')
  writeFileSync(
    script,
    `process.on('SIGTERM', () => process.exit(0))
     process.on('disconnect', () => process.exit(0))
     process.send({ type: 'ready', describe: 'pid ' + process.pid })`,
  )
  const said = new EventEmitter()
  const lines: string[] = []
  const to = {
    write: (line: string) => {
      lines.push(JSON.parse(line).msg)
      said.emit('line')
    },
  }
  const log = createLogger({ level: 'info', format: 'json' }, { node: 'up', to })
  const supervisor = new Supervisor({ clock: systemClock, log })
  const spawn = () => fork(script, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const describe = await supervisor.start({ name: 'real', spawn })
  const pid = supervisor.pidOf('real')
  t.equal(describe, `pid ${pid}`)

  process.kill(pid as number, 'SIGKILL')
  await once(said, 'line')
  await once(said, 'line')
  t.match(lines, [
    /^real \(pid \d+\) died: SIGKILL; restart in \d+ ms$/,
    /^real is back \(pid \d+\): pid \d+$/,
  ])
  t.not(supervisor.pidOf('real'), pid)
  await supervisor.stop(['real'], 5_000)
  t.equal(supervisor.pidOf('real'), undefined)
  t.equal(lines.length, 2, 'stopped by SIGTERM, in time')
})

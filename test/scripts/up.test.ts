import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/* `tandem up` as a whole, with the real database and the real nodes. Skips nothing and mocks nothing. */

const COMMAND = fileURLToPath(new URL('../../scripts/tandem.ts', import.meta.url))
const NODES = ['s1', 's2', 'a1', 'a2', 'b1', 'b2']
const STOP_LIMIT_MS = 5_000

class Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  readonly exited: Promise<unknown[]>
  output = ''

  constructor(env: NodeJS.ProcessEnv) {
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TANDEM_'))
    this.child = spawn(process.execPath, ['--import=tsx', COMMAND, 'up'], {
      env: { ...Object.fromEntries(others), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.exited = once(this.child, 'exit')
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
  }

  /** The match, once it has been printed. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output)
      if (match) return match
      if (this.child.exitCode !== null)
        throw new Error(`it ended before it printed ${pattern}:\n${this.output}`)
      await Promise.race([once(this.child.stdout, 'data'), this.exited])
    }
  }

  pidOf(node: string): number {
    const match = [...this.output.matchAll(new RegExp(`${node} is (?:ready|back) \\(pid (\\d+)\\)`, 'g'))].at(
      -1,
    )
    return Number(match?.[1])
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Resolves with those that are still there after the time in which everything has to be gone. */
async function leftOf(pids: readonly number[]): Promise<number[]> {
  const untilMs = performance.now() + STOP_LIMIT_MS
  while (pids.some(alive) && performance.now() < untilMs) await wait(20)
  return pids.filter(alive)
}

const postgresPid = (dataDir: string) =>
  Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])

t.test('a whole system, from its start to its end', { timeout: 120_000 }, async (t) => {
  const dataDir = join(t.testdir({}), 'data')
  const env = { TANDEM_UP_HOST: '127.0.44.1', TANDEM_UP_DATABASE_PORT: '15444', TANDEM_UP_DATA_DIR: dataDir }
  const first = new Running(env)
  t.teardown(() => void first.child.kill('SIGTERM'))

  await t.test('says where everything is', async (t) => {
    await first.printed(/To try, in another terminal\n(?: {2}.*\n)+/)
    for (const line of [
      /s1 +outside 127\.0\.44\.1:5060 +inside 127\.0\.44\.1:5160/,
      /s2 +outside 127\.0\.44\.1:5062/,
      /group a: a1 master 127\.0\.44\.1:5071, a2 slave 127\.0\.44\.1:5072/,
      /users .*alice/,
      /psql 'postgres:\/\/\S+127\.0\.0\.1:15444\/tandem'/,
      /_sip\._udp\.example\.com\. +60 +IN +SRV +10 50 5062 s2\.example\.com\./,
      /filled with the demo/,
    ]) {
      t.match(first.output, line)
    }
    for (const node of NODES)
      t.ok(alive(first.pidOf(node)), `${node} runs in a process of its own`, { output: first.output })
    t.equal(new Set(NODES.map((node) => first.pidOf(node))).size, NODES.length)
  })

  await t.test('a second one is refused while it runs', async (t) => {
    const second = new Running(env)
    const [code] = await second.exited
    t.equal(code, 1)
    t.notMatch(first.output, /died/)
    t.match(
      second.output,
      /PORT_TAKEN: UDP 127\.0\.44\.1:5060 is taken by another process \(pid \d+, [^)]+\); stop it, or set/,
    )
  })

  await t.test('a node that dies comes back', async (t) => {
    const pid = first.pidOf('a1')
    process.kill(pid, 'SIGKILL')
    await first.printed(new RegExp(`a1 \\(pid ${pid}\\) died: SIGKILL; restart in \\d+ ms`))
    await first.printed(/a1 is back \(pid \d+\)/)
    t.not(first.pidOf('a1'), pid)
    t.ok(alive(first.pidOf('a1')))
  })

  await t.test('PostgreSQL comes back too', async () => {
    process.kill(postgresPid(dataDir), 'SIGQUIT') // its way of an immediate shutdown
    await first.printed(/PostgreSQL died; restart in \d+ ms/)
    await first.printed(/PostgreSQL is back/)
  })

  await t.test('SIGTERM stops everything in order, in time', async (t) => {
    const pids = [...NODES.map((node) => first.pidOf(node)), postgresPid(dataDir)]
    const atMs = performance.now()
    first.child.kill('SIGTERM')
    const [code] = await first.exited
    t.equal(code, 0)
    t.ok(performance.now() - atMs < STOP_LIMIT_MS)
    t.match(first.output, /SIGTERM: stopping stage 1, stage 2 and PostgreSQL/)
    t.match(first.output, /stopped in \d\.\d s\n$/)
    t.notMatch(first.output, /killed/)
    t.ok(
      first.output.lastIndexOf('s1 INFO  stopped') < first.output.lastIndexOf('a1 INFO  stopping'),
      'stage 1 first',
    )
    t.same(pids.filter(alive), [])
  })

  await t.test(
    'a second start goes on with the same data, and leaves nothing behind when it is killed',
    async (t) => {
      const second = new Running(env)
      t.teardown(() => void second.child.kill('SIGTERM'))
      await second.printed(/To try, in another terminal\n(?: {2}.*\n)+/)
      t.notMatch(second.output, /filled with the demo|migration applied/)
      const pids = [...NODES.map((node) => second.pidOf(node)), postgresPid(dataDir)]
      t.ok(pids.every(alive))
      second.child.kill('SIGKILL')
      await second.exited
      t.same(await leftOf(pids), [])
    },
  )
})

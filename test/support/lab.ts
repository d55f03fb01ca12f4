import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { seedDemo } from '../../db/demo.ts'
import { testDatabase, testFolder } from './database.ts'

const run = promisify(execFile)
const COMMAND = fileURLToPath(new URL('../../scripts/tandem.ts', import.meta.url))
const READY_MS = 60_000

/** For tap's `skip`: false where network namespaces can be made, else why not. */
export function needsLab(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are Linux'
  if (process.getuid?.() !== 0) return 'needs root, to make network namespaces'
  const path = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter)
  const missing = Object.entries({ ip: 'iproute2', iptables: 'iptables' }).filter(
    ([program]) => !path.some((folder) => isExecutable(join(folder, program))),
  )
  if (missing.length === 0) return false
  const [programs, packages] = [0, 1].map((i) => missing.map((pair) => pair[i]))
  return `needs ${programs?.join(', ')}: apt-get install ${packages?.join(' ')}`
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Hosts of their own on one machine: network namespaces on a switch, with real routers and firewalls between them. The
 * test itself sits at `.1` of the network, and so does PostgreSQL, behind a relay.
 */
export class Lab {
  /** `10.81.0.`, say. */
  readonly network: string
  readonly #name: string
  readonly #namespaces: string[] = []
  readonly #relays: Relay[] = []
  readonly #nodes: LabNode[] = []

  private constructor(network: number) {
    this.network = `10.${network}.0.`
    this.#name = `td${network}`
  }

  /** `network`: 0…255, one for each test file. */
  static async open(t: Test, network: number): Promise<Lab> {
    const lab = new Lab(network)
    t.teardown(() => lab.#close())
    await lab.#removeLeftovers()
    const wire = `${lab.#name}-w`
    const sw = await lab.#namespace('sw')
    await run('ip', ['-n', sw, 'link', 'add', 'name', 'bridge0', 'type', 'bridge'])
    await run('ip', ['-n', sw, 'link', 'set', 'bridge0', 'up'])
    await run('ip', ['link', 'add', wire, 'type', 'veth', 'peer', 'name', 'p1', 'netns', sw])
    await run('ip', ['-n', sw, 'link', 'set', 'p1', 'master', 'bridge0', 'up'])
    await run('ip', ['address', 'add', `${lab.address(1)}/24`, 'dev', wire])
    await run('ip', ['link', 'set', wire, 'up'])
    return lab
  }

  address(host: number): string {
    return this.network + host
  }

  /** A host on the switch, with address `.host`. @returns its namespace */
  async host(name: string, host: number): Promise<string> {
    const namespace = await this.#namespace(name)
    const port = `p${host}`
    await run('ip', [
      '-n',
      namespace,
      'link',
      'add',
      'up0',
      'type',
      'veth',
      'peer',
      'name',
      port,
      'netns',
      this.#of('sw'),
    ])
    await run('ip', ['-n', this.#of('sw'), 'link', 'set', port, 'master', 'bridge0', 'up'])
    await run('ip', ['-n', namespace, 'address', 'add', `${this.address(host)}/24`, 'dev', 'up0'])
    await run('ip', ['-n', namespace, 'link', 'set', 'up0', 'up'])
    return namespace
  }

  /**
   * A router at `.host` that hides a network `192.168.N.0/24` behind its address, and a host at `.10` of that. The test
   * alone knows a way in, to steer what runs there. @returns the hidden host's namespace and address
   */
  async natted(name: string, host: number): Promise<{ namespace: string; address: string }> {
    const router = await this.host(`${name}-r`, host)
    const namespace = await this.#namespace(name)
    const hidden = `192.168.${host}.`
    await run('ip', [
      '-n',
      router,
      'link',
      'add',
      'down0',
      'type',
      'veth',
      'peer',
      'name',
      'up0',
      'netns',
      namespace,
    ])
    await run('ip', ['-n', router, 'address', 'add', `${hidden}1/24`, 'dev', 'down0'])
    await run('ip', ['-n', router, 'link', 'set', 'down0', 'up'])
    await run('ip', ['-n', namespace, 'address', 'add', `${hidden}10/24`, 'dev', 'up0'])
    await run('ip', ['-n', namespace, 'link', 'set', 'up0', 'up'])
    await run('ip', ['-n', namespace, 'route', 'add', 'default', 'via', `${hidden}1`])
    await this.inside(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    await this.inside(router, ...'iptables -t nat -A POSTROUTING -o up0 -j MASQUERADE'.split(' '))
    // What nobody inside has asked for does not come in, as at home.
    await this.inside(
      router,
      ...`iptables -A FORWARD -i up0 ! -s ${this.address(1)} -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP`.split(
        ' ',
      ),
    )
    await run('ip', ['route', 'add', `${hidden}0/24`, 'via', this.address(host)])
    return { namespace, address: `${hidden}10` }
  }

  /** Runs a program on a host, to its end. */
  async inside(namespace: string, ...command: string[]): Promise<void> {
    await run('ip', ['netns', 'exec', namespace, ...command])
  }

  /** Two hosts hear nothing of each other from now on, and nobody is told. @returns what mends it */
  async cut(namespace: string, address: string): Promise<() => Promise<void>> {
    const rules = [
      ['INPUT', '-s', address],
      ['OUTPUT', '-d', address],
    ]
    const each = (action: string) =>
      Promise.all(
        rules.map((rule) => this.inside(namespace, 'iptables', '-w', action, ...rule, '-j', 'DROP')),
      )
    await each('-I')
    return async () => void (await each('-D'))
  }

  /**
   * The demo's cluster, every node on a host of its own: edges s1 (`.11`) and s2 (`.12`), members a1, a2 (`.21`, `.22`)
   * and b1, b2 (`.31`, `.32`). Resolves when all are ready.
   */
  async startTandem(t: Test, env: NodeJS.ProcessEnv = {}): Promise<Record<DemoNode, LabNode>> {
    const { url, db } = await testDatabase(t)
    const at = (host: number) => `${this.address(host)}:5070`
    await seedDemo(db, { a1: at(21), a2: at(22), b1: at(31), b2: at(32) })
    const relay = await Relay.open(this.address(1), Number(new URL(url).port))
    this.#relays.push(relay)
    const database = new URL(url)
    database.hostname = this.address(1)
    database.port = String(relay.port)
    const common = {
      TANDEM_DATABASE_URL: database.href,
      TANDEM_STATE_DIR: await testFolder(t),
      // The test is many clients at one address.
      TANDEM_STAGE1_GUARD_EXEMPT: this.address(1),
      ...env,
    }
    const start = async ([name, host]: [string, number]) => {
      const namespace = await this.host(name, host)
      const address = this.address(host)
      const node = new LabNode(namespace, name, address, {
        ...common,
        ...(name.startsWith('s')
          ? { TANDEM_STAGE1_EDGE: `${address}:5060`, TANDEM_STAGE1_INSIDE: `${address}:5160` }
          : { TANDEM_STAGE2_LISTEN: `${address}:5070` }),
      })
      this.#nodes.push(node)
      await node.start()
      return [name, node] as const
    }
    // The members first: an edge that finds them down waits for two good answers.
    const members = await Promise.all(Object.entries(MEMBERS).map(start))
    const edges = await Promise.all(Object.entries(EDGES).map(start))
    return Object.fromEntries([...members, ...edges]) as Record<DemoNode, LabNode>
  }

  #of(name: string): string {
    return `${this.#name}-${name}`
  }

  async #namespace(name: string): Promise<string> {
    const namespace = this.#of(name)
    await run('ip', ['netns', 'add', namespace])
    this.#namespaces.push(namespace)
    await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up'])
    return namespace
  }

  /** Of a run that was killed. */
  async #removeLeftovers(): Promise<void> {
    const { stdout } = await run('ip', ['netns', 'list'])
    const names = stdout.split('\n').map((line) => line.split(' ')[0] ?? '')
    for (const name of names)
      if (name.startsWith(`${this.#name}-`)) await run('ip', ['netns', 'delete', name])
  }

  async #close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()))
    await Promise.all(this.#relays.map((relay) => relay.close()))
    // With a namespace go its ends of the wires, and so the other ends.
    for (const namespace of this.#namespaces) await run('ip', ['netns', 'delete', namespace])
  }
}

const EDGES = { s1: 11, s2: 12 }
const MEMBERS = { a1: 21, a2: 22, b1: 31, b2: 32 }
export type DemoNode = keyof typeof EDGES | keyof typeof MEMBERS

/** One node of Tandem on a host of its own. */
export class LabNode {
  readonly namespace: string
  readonly name: string
  readonly address: string
  readonly #env: NodeJS.ProcessEnv
  #process: ChildProcess | undefined
  #output = ''

  constructor(namespace: string, name: string, address: string, env: NodeJS.ProcessEnv) {
    this.namespace = namespace
    this.name = name
    this.address = address
    this.#env = env
  }

  /** All that it has printed. */
  get output(): string {
    return this.#output
  }

  /** What it has printed so far counts no longer. */
  forget(): void {
    this.#output = ''
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const stage = this.name.startsWith('s') ? 'stage1' : 'stage2'
    const args = ['netns', 'exec', this.namespace, process.execPath, '--import=tsx', COMMAND, stage]
    this.#output = ''
    this.#process = spawn('ip', args, {
      env: { ...process.env, ...this.#env, TANDEM_NODE: this.name, TANDEM_LOG_FORMAT: 'text' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.on('data', (data) => {
        this.#output += data
      })
    await this.says(/ready/, READY_MS)
  }

  /** Waits until it has printed that. */
  async says(pattern: RegExp, limitMs = 15_000): Promise<void> {
    for (const until = Date.now() + limitMs; Date.now() < until; ) {
      if (pattern.test(this.#output)) return
      if (this.#isOver) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`${this.name} never said ${pattern}:\n${this.#output}`)
  }

  /** As a machine that loses its power. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM')
  }

  get #isOver(): boolean {
    const child = this.#process
    return !child || child.exitCode !== null || child.signalCode !== null
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    if (!child || this.#isOver) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
}

/** Passes TCP connections on to a port of 127.0.0.1, where PostgreSQL is. */
class Relay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(target: number) {
    this.#server = createServer((client) => {
      const server = connect(target, '127.0.0.1')
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => this.#sockets.delete(from))
        from.pipe(to)
      }
    })
  }

  static async open(address: string, target: number): Promise<Relay> {
    const relay = new Relay(target)
    relay.#server.listen(0, address)
    await once(relay.#server, 'listening')
    return relay
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : 0
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

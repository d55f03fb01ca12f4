import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebianTool, until } from './debian-tool.ts'

export interface BaresipOptions {
  readonly user: string
  readonly server: { readonly address: string; readonly port: number }
  readonly address: string
  /** SIP; the next one is its TLS port, the one after its control socket. */
  readonly port: number
  /** Of its registration, `udp` if left out. */
  readonly transport?: 'udp' | 'tcp'
  /** The network namespace it runs in. */
  readonly namespace?: string
}

/** What it tells over its control socket, such as CALL_ESTABLISHED. */
export interface BaresipEvent {
  readonly type: string
  readonly direction?: 'incoming' | 'outgoing'
  readonly peeruri?: string
  readonly param?: string
}

interface Answer {
  readonly response: true
  readonly ok: boolean
  readonly data: string
  readonly token: string
}

/** A headless baresip: a full phone without sound hardware that answers by itself. */
export class Baresip {
  readonly #tool: DebianTool
  readonly #control = new Socket()
  readonly #folder: string
  readonly #changes = new EventEmitter()
  readonly #answers = new Map<string, Answer>()
  #events: BaresipEvent[] = []
  #received = Buffer.alloc(0)
  #tokens = 0

  private constructor(tool: DebianTool, folder: string) {
    this.#tool = tool
    this.#folder = folder
    this.#control.on('data', (data) => this.#receive(data))
    this.#control.on('error', () => {})
  }

  /** Starts it and waits until it is registered. */
  static async start(options: BaresipOptions): Promise<Baresip> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-baresip-'))
    await writeFile(join(folder, 'config'), configOf(options))
    await writeFile(join(folder, 'accounts'), accountOf(options))
    await writeFile(join(folder, 'contacts'), '')
    // It ends by itself even if the test that started it cannot see to it.
    const tool = await DebianTool.start('baresip', ['-f', folder, '-t', '100'], options.namespace)
    const phone = new Baresip(tool, folder)
    try {
      await phone.#ready(options)
      return phone
    } catch (error) {
      await phone.close()
      throw error
    }
  }

  async dial(uri: string): Promise<void> {
    await this.#command('dial', uri)
  }

  async hangUp(): Promise<void> {
    await this.#command('hangup')
  }

  /** The next event of that type, now or later; those before it are forgotten. */
  async event(type: string): Promise<BaresipEvent> {
    const find = () => this.#events.findIndex((event) => event.type === type)
    await until(this.#changes, 'change', () => find() >= 0).catch((cause) => {
      throw new Error(`no ${type}:\n${this.#tool.output}`, { cause })
    })
    const [event] = this.#events.splice(0, find() + 1).slice(-1)
    return event as BaresipEvent
  }

  async close(): Promise<void> {
    this.#control.destroy()
    await this.#tool.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #ready({ address, port }: BaresipOptions): Promise<void> {
    await this.#tool.says(/baresip is ready/)
    this.#control.connect(port + 2, address)
    await once(this.#control, 'connect')
    await this.#tool.says(/200 OK \(.*\) \[\d+ bindings?\]/)
  }

  async #command(command: string, params = ''): Promise<string> {
    const token = String(++this.#tokens)
    const json = JSON.stringify({ command, params, token })
    this.#control.write(`${Buffer.byteLength(json)}:${json},`)
    await until(this.#changes, 'change', () => this.#answers.has(token))
    const answer = this.#answers.get(token)
    if (!answer?.ok) throw new Error(`${command} ${params}: ${answer?.data}`)
    return answer.data
  }

  /** Netstrings, "12:{...},", cut anywhere. */
  #receive(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data])
    for (;;) {
      const colon = this.#received.indexOf(':')
      const end = colon + 1 + Number(this.#received.subarray(0, Math.max(colon, 0)))
      if (colon < 0 || this.#received.length <= end) break
      this.#take(JSON.parse(this.#received.toString('utf8', colon + 1, end)))
      this.#received = this.#received.subarray(end + 1)
    }
    this.#changes.emit('change')
  }

  #take(message: BaresipEvent | Answer): void {
    if ('response' in message) this.#answers.set(message.token, message)
    else this.#events.push(message)
  }
}

function configOf({ user, address, port }: BaresipOptions): string {
  return `
poll_method epoll
sip_listen ${address}:${port}
net_interface ${address}
rtp_ports ${port + 20_000}-${port + 20_019}
audio_path /usr/share/baresip
audio_player aubridge,${user}
audio_source aubridge,${user}
audio_alert aubridge,${user}-alert
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen ${address}:${port + 2}
`
}

function accountOf({ user, server, transport = 'udp' }: BaresipOptions): string {
  const parameters = [
    `auth_user=${user}`,
    `auth_pass=${user}-secret`,
    `outbound="sip:${server.address}:${server.port};transport=${transport}"`,
    'regint=600',
    'answermode=auto',
  ]
  return `<sip:${user}@example.com>;${parameters.join(';')}\n`
}

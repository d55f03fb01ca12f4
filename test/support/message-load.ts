import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

export interface LoadOptions {
  readonly address: string
  readonly servers: readonly { readonly address: string; readonly port: number }[]
  readonly target: string
  /** Requests a second. */
  readonly rate: number
  /** Hears of every final answer. */
  readonly onAnswer?: (answer: LoadAnswer) => void
}

/** Times as of `performance.now()`. */
export interface LoadAnswer {
  readonly status: number
  /** Index of the server. */
  readonly server: number
  readonly sentMs: number
  readonly answeredMs: number
}

export interface LoadReport {
  readonly sent: number
  /** Final status → how many requests it answered. */
  readonly statuses: Readonly<Record<number, number>>
}

interface Open {
  readonly timer: NodeJS.Timeout
  readonly server: number
  readonly sentMs: number
}

const TICK_MS = 10
/** RFC 3261 timer E up to T2; beyond 16 s a request counts as unanswered. */
const RETRANSMISSIONS_MS = [500, 1500, 3500, 7500, 11_500, 15_500]

/** MESSAGE requests at a steady rate from a socket of its own, retransmitted as RFC 3261 §17.1.2 has it. */
export class MessageLoad {
  readonly #options: LoadOptions
  readonly #socket: Socket
  readonly #open = new Map<string, Open>()
  readonly #statuses: Record<number, number> = {}
  #sent = 0
  #owed = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(options: LoadOptions, socket: Socket) {
    this.#options = options
    this.#socket = socket
    socket.on('message', (data) => this.#receive(data.toString('latin1')))
  }

  static async start(options: LoadOptions): Promise<MessageLoad> {
    const socket = createSocket('udp4')
    socket.bind({ address: options.address, port: 0 })
    await once(socket, 'listening')
    const load = new MessageLoad(options, socket)
    let lastMs = performance.now()
    load.#timer = setInterval(() => {
      const nowMs = performance.now()
      load.#owed += ((nowMs - lastMs) / 1000) * options.rate
      lastMs = nowMs
      for (; load.#owed >= 1; load.#owed--) load.#send()
    }, TICK_MS)
    return load
  }

  /** Sends no more, waits for what is open, and closes. Unanswered requests count as status 0. */
  async stop(): Promise<LoadReport> {
    clearInterval(this.#timer)
    while (this.#open.size > 0) await new Promise((resolve) => setTimeout(resolve, TICK_MS))
    this.#socket.close()
    return { sent: this.#sent, statuses: this.#statuses }
  }

  #send(): void {
    const { target, servers } = this.#options
    const { address, port } = this.#socket.address()
    const id = `${++this.#sent}`
    const server = this.#sent % servers.length
    const text = [
      `MESSAGE ${target} SIP/2.0`,
      `Via: SIP/2.0/UDP ${address}:${port};branch=z9hG4bKload${id};rport`,
      'Max-Forwards: 70',
      `From: <sip:load@example.org>;tag=${id}`,
      `To: <${target}>`,
      `Call-ID: load-${port}-${id}`,
      'CSeq: 1 MESSAGE',
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
    this.#transmit(id, text, { server, sentMs: performance.now() }, 0)
  }

  #transmit(id: string, text: string, of: Pick<Open, 'server' | 'sentMs'>, attempt: number): void {
    const server = this.#options.servers[of.server]
    if (server) this.#socket.send(text, server.port, server.address)
    const delayMs = (RETRANSMISSIONS_MS[attempt] ?? 0) - (RETRANSMISSIONS_MS[attempt - 1] ?? 0)
    const again = () =>
      attempt < RETRANSMISSIONS_MS.length - 1 ? this.#transmit(id, text, of, attempt + 1) : this.#close(id, 0)
    this.#open.set(id, { ...of, timer: setTimeout(again, delayMs) })
  }

  #receive(text: string): void {
    const status = Number(text.slice(8, 11))
    const [, id] = /branch=z9hG4bKload(\d+)/.exec(text) ?? []
    if (id !== undefined && status >= 200) this.#close(id, status)
  }

  #close(id: string, status: number): void {
    const open = this.#open.get(id)
    if (!open) return
    clearTimeout(open.timer)
    this.#open.delete(id)
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1
    const { server, sentMs } = open
    this.#options.onAnswer?.({ status, server, sentMs, answeredMs: performance.now() })
  }
}

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

const TICK_MS = 5
/** RFC 3261 timer E. */
const RETRANSMISSIONS_MS = [500, 1500, 3500]
const GIVE_UP_MS = 5000

export interface Delays {
  readonly sent: number
  readonly answered: number
  /** From the first copy of a request to its answer, in milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
}

interface Open {
  readonly text: string
  readonly socket: Socket
  readonly sentMs: number
  copies: number
}

/** Phones with an address each that send requests at a steady rate, whatever else there is, and note how long the answers take. */
export class SteadyPhones {
  readonly #sockets: readonly Socket[]
  readonly #server: { readonly address: string; readonly port: number }
  readonly #open = new Map<string, Open>()
  #delays: number[] = []
  #count = 0

  private constructor(sockets: readonly Socket[], server: SteadyPhones['server']) {
    this.#sockets = sockets
    this.#server = server
    for (const socket of sockets) socket.on('message', (data) => this.#receive(data.toString('latin1')))
  }

  static async open(
    addresses: readonly string[],
    server: { readonly address: string; readonly port: number },
  ): Promise<SteadyPhones> {
    const sockets = addresses.map(() =>
      createSocket({ type: 'udp4', lookup: (name, _, callback) => callback(null, name, 4) }),
    )
    await Promise.all(
      sockets.map((socket, i) => {
        // With a look-up that answers at once, so does the event.
        const listening = once(socket, 'listening')
        socket.bind({ address: addresses[i] ?? '', port: 0 })
        return listening
      }),
    )
    return new SteadyPhones(sockets, server)
  }

  get server(): { readonly address: string; readonly port: number } {
    return this.#server
  }

  /** Each phone registers once. */
  async register(): Promise<Delays> {
    for (const socket of this.#sockets)
      this.#send(socket, 'REGISTER', 'sip:example.com', 'sip:bob@example.com')
    return this.#report()
  }

  /** MESSAGE requests until `busy` is over, and at least for `minMs`. */
  async load(ratePerSec: number, minMs: number, busy: Promise<unknown> = Promise.resolve()): Promise<Delays> {
    let isBusy = true
    void busy.finally(() => {
      isBusy = false
    })
    const startMs = performance.now()
    let sent = 0
    for (let ms = 0; isBusy || ms < minMs; ms = performance.now() - startMs) {
      for (; sent < (ms / 1000) * ratePerSec; sent++) {
        const socket = this.#sockets[sent % this.#sockets.length] as Socket
        this.#send(socket, 'MESSAGE', 'sip:bob@example.com', 'sip:bob@example.com')
      }
      await sleep(TICK_MS)
      this.#retransmit()
    }
    return this.#report()
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }

  #send(socket: Socket, method: string, uri: string, to: string): void {
    const { address, port } = socket.address()
    const id = `phone${++this.#count}`
    const text = [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${address}:${port};branch=z9hG4bK${id};rport`,
      'Max-Forwards: 70',
      `From: <${to}>;tag=${id}`,
      `To: <${to}>`,
      `Call-ID: ${id}`,
      `CSeq: 1 ${method}`,
      ...(method === 'REGISTER' ? [`Contact: <sip:bob@${address}:${port}>`] : []),
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
    this.#open.set(id, { text, socket, sentMs: performance.now(), copies: 1 })
    socket.send(text, this.#server.port, this.#server.address)
  }

  #receive(text: string): void {
    const [, id = ''] = /branch=z9hG4bK(phone\d+)/.exec(text) ?? []
    const open = this.#open.get(id)
    if (!open || !text.startsWith('SIP/2.0 200')) return
    this.#open.delete(id)
    this.#delays.push(performance.now() - open.sentMs)
  }

  #retransmit(): void {
    const nowMs = performance.now()
    for (const open of this.#open.values()) {
      if (nowMs - open.sentMs < (RETRANSMISSIONS_MS[open.copies - 1] ?? Number.POSITIVE_INFINITY)) continue
      open.copies++
      open.socket.send(open.text, this.#server.port, this.#server.address)
    }
  }

  /** Of what was sent since the last report, when all of it is answered or given up. */
  async #report(): Promise<Delays> {
    const untilMs = performance.now() + GIVE_UP_MS
    while (this.#open.size > 0 && performance.now() < untilMs) {
      await sleep(TICK_MS)
      this.#retransmit()
    }
    const delays = this.#delays.sort((a, b) => a - b)
    const at = (part: number) =>
      delays[Math.min(delays.length - 1, Math.floor(delays.length * part))] ?? Number.NaN
    const report = {
      sent: delays.length + this.#open.size,
      answered: delays.length,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    }
    this.#delays = []
    this.#open.clear()
    return report
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
